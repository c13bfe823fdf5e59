"""The command that writes: about all products of a catalog, or on from a beginning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from shopvl.cli.console import SHOWN_REASONS, out, progress
from shopvl.cli.options import AsJson, DeviceName, MapFile, Sheet, Split, open_split, opened_model, reading_of
from shopvl.errors import ShopvlError

if TYPE_CHECKING:
    from shopvl.tagging.write import From, Language, Request


def write(
    subject: Annotated[str, typer.Argument(help="A catalog; without --what, how a text begins, an empty one for any.")],
    model: Annotated[Path, typer.Option("--model", help="A model folder of a recipe that writes, such as simvlm.")],
    what: Annotated[str | None, typer.Option(help="title or sentence, about every product of the catalog.")] = None,
    sources: Annotated[
        str, typer.Option("--from", help="What it may rest on: image, attributes, title, or some of these.")
    ] = "image,attributes,title",
    count: Annotated[int, typer.Option("-n", min=1, help="So many texts, the likeliest first.")] = 1,
    folder: Annotated[Path | None, typer.Option("--out", help="Folder to write.", file_okay=False)] = None,
    tags: Annotated[
        Path | None, typer.Option(help="A folder that `shopvl tag` wrote: accepted answers are known, too.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="en or zh; left out: that of each title.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first rows.")] = None,
    split: Split = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    device: DeviceName = None,
    mapping: MapFile = None,
    sheet: Sheet = None,
    as_json: AsJson = False,
) -> None:
    """Titles or sentences about products, or a text gone on with.

    What is written about a product says nothing that is not in its inputs or in an accepted tag: no other fact, and no
    brand that is not there. Where nothing can be said, nothing is written, and DIR/rejects.parquet says why.
    DIR/texts.parquet has the texts. A run that was stopped goes on where it was.

    Without --what a text is gone on with as titles do; it is made up.

    Example: shopvl write products.csv --what title --from image,attributes -n 3 --model runs/writer --out texts
    Example: shopvl write "Nike Men" --model runs/gpt-2/design -n 5
    """
    if what is None:
        _go_on(subject, model, count, as_json)
        return
    from shopvl.tagging import write as writing

    if folder is None:
        raise ShopvlError("texts about a catalog go to a folder; name it with --out DIR")
    request = request_of(what, sources, language, count)
    opened = open_split(subject, split, ("product_id",), reading_of(mapping, sheet))
    total = opened.count() if limit is None else min(limit, opened.count())
    design = opened_model(model, False, device)
    with progress("writing", total) as report:
        done = writing.write(design, opened, folder, request, tags=tags, limit=limit, workers=workers, report=report)
    out.print(f"{done.rows} rows in = {done.written} written about ({done.texts} texts) + {done.rejected} rejected")
    out.print(f"{done.reused} rows were known, {done.computed} computed: {done.speed_line()}", highlight=False)
    for reason, rows in done.reasons.most_common(SHOWN_REASONS):
        out.print(f"  {rows} rejected: {reason}", highlight=False)
    out.print(str(folder / "texts.parquet"), highlight=False)


def request_of(what: str, sources: str, language: str | None, count: int) -> Request:
    """The options as a request. Raises ShopvlError for a word that is none of theirs."""
    from shopvl.tagging.write import FROM, Language, Request

    names = [name.strip() for name in sources.split(",") if name.strip()]
    if not names or set(names) - set(FROM):
        odd = ", ".join(sorted(set(names) - set(FROM))) or "nothing"
        raise ShopvlError(
            f"--from takes image, attributes and title, not {odd}; write some of them, as in --from image"
        )
    if what != "title" and what != "sentence":
        raise ShopvlError(f"--what takes title or sentence, not {what!r}; write one of them")
    if language is not None and language not in get_args(Language):
        raise ShopvlError(f"--language takes en or zh, not {language!r}; leave it out for that of each title")
    chosen: tuple[From, ...] = tuple(name for name in FROM if name in names)
    spoken: Language | None = None if language is None else ("zh" if language == "zh" else "en")
    return Request("title" if what == "title" else "sentence", chosen, spoken, count)


def _go_on(begun: str, model: Path, count: int, as_json: bool) -> None:
    from shopvl.design.design import Design
    from shopvl.inference.write import go_on

    (texts,) = go_on(Design.from_pretrained(model), [begun], count=count)
    if as_json:
        print(json.dumps([{"text": text.text, "logp": text.logp} for text in texts], ensure_ascii=False, indent=1))
        return
    for text in texts:
        out.print(text.text, highlight=False)
