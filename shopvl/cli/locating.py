"""The commands that say where in a picture something is, and whether it shows what is said of a product."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shopvl.cli.console import out
from shopvl.cli.options import AsJson, DeviceName, opened_model
from shopvl.errors import ShopvlError

if TYPE_CHECKING:
    from shopvl.inference.locate import FoundPlace


def locate(
    picture: Annotated[Path, typer.Argument(help="A picture's file.")],
    phrases: Annotated[list[str], typer.Argument(help="What to look for, such as 'long sleeve'; several at once.")],
    model: Annotated[Path, typer.Option("--model", help="A model folder of a recipe that locates, such as glip.")],
    device: DeviceName = None,
    as_json: AsJson = False,
) -> None:
    """Where in a picture something is, or that it is not there.

    A place is a box, x0 y0 x1 y1 as shares of the picture's width and height, with a score. A model has learned where
    things are on drawn products, for real photos have no boxes; on these nobody has measured it.

    Example: shopvl locate shirt.jpg "long sleeve" pocket --model runs/glip/design
    """
    from shopvl.catalog.images import decode
    from shopvl.inference.locate import locate as look

    _require_picture(picture)
    design = opened_model(model, False, device)
    (located,) = look(design, [decode(picture.read_bytes())], phrases)
    if as_json:
        told = [
            {
                "phrase": one.phrase,
                "presence": round(one.presence, 4),
                "places": _rows_of(one.places),
            }
            for one in located
        ]
        print(json.dumps(told, ensure_ascii=False, indent=1))
        return
    for one in located:
        if not one.places:
            out.print(f"{one.phrase}: not in this picture ({one.presence:.2f})", highlight=False)
            continue
        for place in one.places:
            out.print(f"{one.phrase}: {_sides(place)}  score {place.score:.2f}", highlight=False)


def verify(
    picture: Annotated[Path, typer.Argument(help="A picture's file.")],
    model: Annotated[Path, typer.Option("--model", help="A model folder of a recipe that verifies: relations.")],
    statements: Annotated[
        list[str] | None, typer.Argument(help="What is said of the product, such as 'colour: navy'; several at once.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="A title: every value that it names is a statement.")] = None,
    device: DeviceName = None,
    as_json: AsJson = False,
) -> None:
    """Whether a picture shows or denies what is said.

    A statement is PROPERTY: VALUE; with --title the values that the title names are judged as well. The picture shows
    it, denies it, or does not show what it is about, with a probability; and where one sees that: a box, x0 y0 x1 y1 as
    shares of the picture's width and height. It was learned on drawn products; on photos nobody has measured it.

    Example: shopvl verify shirt.jpg "colour: navy" --title "Navy shirt" --model runs/relations/design
    """
    from shopvl.batch import VERDICTS
    from shopvl.catalog.images import decode
    from shopvl.inference.verify import statements_in
    from shopvl.inference.verify import verify as judge

    _require_picture(picture)
    design = opened_model(model, False, device)
    said = [(statement, statement) for statement in statements or ()]
    said += statements_in(title or "", design.ontology)
    if not said:
        named = f"the title {title!r} names no value that this model knows" if title else "nothing is said"
        raise ShopvlError(f"{named}; give statements such as 'colour: navy'")
    (verified,) = judge(design, [decode(picture.read_bytes())], [statement for _, statement in said])
    both = list(zip((words for words, _ in said), verified, strict=True))
    if as_json:
        told = [
            {
                "words": words,
                "statement": one.statement,
                "verdict": one.verdict,
                "shares": {name: round(share, 4) for name, share in zip(VERDICTS, one.shares, strict=True)},
                "places": _rows_of(one.places),
            }
            for words, one in both
        ]
        print(json.dumps(told, ensure_ascii=False, indent=1))
        return
    for words, one in both:
        where = f"  at {_sides(one.places[0])}" if one.places else ""
        out.print(f"{words}: {one.verdict} ({max(one.shares):.2f}){where}", highlight=False)


def _require_picture(picture: Path) -> None:
    if not picture.is_file():
        raise ShopvlError(f"there is no picture {picture}; name a JPEG, PNG or WebP file")


def _rows_of(places: Sequence[FoundPlace]) -> list[dict[str, object]]:
    return [{"box": list(place.box), "score": round(place.score, 4)} for place in places]


def _sides(place: FoundPlace) -> str:
    return " ".join(f"{side:.3f}" for side in place.box)
