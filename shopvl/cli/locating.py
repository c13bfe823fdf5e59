"""The command that says where in a picture something is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from shopvl.cli.console import out
from shopvl.cli.options import AsJson, DeviceName, opened_model
from shopvl.errors import ShopvlError


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

    if not picture.is_file():
        raise ShopvlError(f"there is no picture {picture}; name a JPEG, PNG or WebP file")
    design = opened_model(model, False, device)
    (located,) = look(design, [decode(picture.read_bytes())], phrases)
    if as_json:
        told = [
            {
                "phrase": one.phrase,
                "presence": round(one.presence, 4),
                "places": [{"box": list(place.box), "score": round(place.score, 4)} for place in one.places],
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
            sides = " ".join(f"{side:.3f}" for side in place.box)
            out.print(f"{one.phrase}: {sides}  score {place.score:.2f}", highlight=False)
