"""Commands that use a model: tags, answers, vectors and texts, and the review of tags."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from shopvl.catalog.vocabulary import DEFAULT_PRECISION
from shopvl.cli.console import SHOWN_REASONS, chatter, out, progress
from shopvl.cli.options import (
    AsJson,
    CatalogPath,
    DeviceName,
    MapFile,
    ModelFolder,
    Ocr,
    OutFolder,
    Precision,
    RuntimeName,
    Sheet,
    Split,
    inputs_of,
    open_split,
    opened_model,
    reading_of,
    ready,
    use_threads,
    with_reader,
)
from shopvl.discovery import module_names
from shopvl.errors import CatalogError, ShopvlError
from shopvl.paths import SHIPPED
from shopvl.tagging import exporters

if TYPE_CHECKING:
    from shopvl.catalog.readers import Catalog
    from shopvl.tagging.run import Tagged

FORMATS = module_names(exporters)  # not imported here: help answers at once

review_app = typer.Typer(no_args_is_help=True, help="Answers to look at, out as a sheet; corrections, back in.")


def tag(
    catalog: CatalogPath,
    folder: OutFolder,
    model: ModelFolder = SHIPPED,
    use: Annotated[str, typer.Option(help="Inputs: image,title or one of them, if there is no other.")] = "image,title",
    precision: Precision = DEFAULT_PRECISION,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first rows.")] = None,
    split: Split = None,
    zero_shot: Annotated[bool, typer.Option(help="Choose values by their names instead of using heads.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per CPU core if left out.")] = None,
    engine: Annotated[str, typer.Option(help="local, or ray: the same work through Ray Data, on a cluster.")] = "local",
    bfloat16: Annotated[
        bool | None,
        typer.Option("--bfloat16/--float32", help="Half the bits; chosen where the machine is faster in it."),
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="In int8, where outputs stay near; OpenVINO.")] = False,
    runtime: RuntimeName = "auto",
    device: DeviceName = None,
    ocr: Ocr = False,
    mapping: MapFile = None,
    sheet: Sheet = None,
) -> None:
    """Category and attributes for every product of a catalog.

    DIR/tags.parquet has the answers, DIR/rejects.parquet what could not be read. A run that was stopped goes on where
    it was, and a run over a changed catalog computes only what is new.
    A table of titles alone is tagged with --use title, one of pictures alone with --use image.
    DIR/notes.parquet names products whose title or picture says nothing ("nan", a placeholder): they are tagged from
    the other one. With --ocr it also names those in whose pictures OCR could not read.

    Example: shopvl tag products.csv --model runs/tagger --out tags --precision 0.95
    """
    from shopvl.design.in_use import checked_runtime
    from shopvl.runtime.bfloat16 import bf16_is_fast
    from shopvl.tagging import run
    from shopvl.tagging.page import write_run_page

    inputs = inputs_of(use)
    opened = _with_inputs(open_split(catalog, split, ("product_id",), reading_of(mapping, sheet)), inputs)
    design = opened_model(model, ocr, device)
    total = opened.count() if limit is None else min(limit, opened.count())
    with progress("tagging", total) as report:
        done = run.tag(
            design,
            opened,
            folder,
            use=inputs,
            precision=precision,
            limit=limit,
            zero_shot=zero_shot,
            report=report,
            workers=workers or run.workers_for(total, design.device),
            engine=run.executor_named(engine),
            bfloat16=bf16_is_fast() if bfloat16 is None else bfloat16,
            int8=int8,
            runtime=checked_runtime(runtime),
        )
    _print_tagged(done, folder)
    out.print(f"{folder / 'tags.parquet'}\n{write_run_page(done, folder, design.name, opened)}")
    _print_advice(done, runtime)


def _with_inputs(opened: Catalog, inputs: Sequence[str]) -> Catalog:
    """The catalog. Raises CatalogError where it lacks an input; says how to go on where it has the other."""
    from shopvl.catalog.schema import missing_columns_message

    lacking = [name for name in inputs if name in opened.missing]
    if not lacking:
        return opened
    said = missing_columns_message(opened.path.name, opened.source.names(), lacking)
    there = [name for name in inputs if name not in lacking]
    raise CatalogError(f"{said}; or tag without it: --use {there[0]}" if there else said)


def _print_advice(done: Tagged, runtime: str) -> None:
    """Whether the model knows such a catalog, and what would be faster where no other runtime is installed."""
    from shopvl.design.in_use import MEASURED_FROM
    from shopvl.runtime.engine import LIBRARIES

    if line := done.fit_line():
        out.print(line, highlight=False)
    if runtime == "auto" and done.computed >= MEASURED_FROM and all(library.lacking for library in LIBRARIES):
        out.print("so many products are tagged faster with: pip install 'shopvl[fast]'")


def _print_tagged(done: Tagged, folder: Path) -> None:
    """The decisions by property, the rows by what became of them, and how to go on with the rejected ones."""
    table = Table("property", "accept", "review", "unknown")
    for name, counts in done.decisions.items():
        table.add_row(name, *(str(counts[decision]) for decision in ("accept", "review", "unknown")))
    out.print(table)
    for line in done.why_lines():
        out.print(line, highlight=False)
    out.print(f"{done.rows} rows in = {done.tagged} tagged + {done.rejected} rejected; {done.conflicts} conflicts")
    out.print(f"{done.reused} rows were known, {done.computed} computed: {done.speed_line()}", highlight=False)
    if done.damaged:
        out.print(f"{done.damaged} parts of what was known were damaged; their rows were computed again")
    if line := done.looks_line():
        out.print(line, highlight=False)
    for reason, count in done.reasons.most_common(SHOWN_REASONS):
        out.print(f"  {count} rejected: {reason}", highlight=False)
    if done.rejected:
        again = shlex.join(["shopvl", *sys.argv[1:]])
        out.print(f"to retry the rejected rows, and only those: {again}", highlight=False)
    for reason, count in done.absent.most_common(SHOWN_REASONS):
        out.print(f"  {count} set aside: {reason}", highlight=False)
    if done.noted:
        out.print(f"{done.noted} pictures could not be read for words; {folder / 'notes.parquet'} says why")


def export(
    tags: Annotated[Path, typer.Argument(help="The folder that `shopvl tag` wrote.")],
    target: Annotated[Path, typer.Option("--out", help="File to write; its end suits the format.", dir_okay=False)],
    form: Annotated[
        str | None,
        typer.Option("--format", help=f"{', '.join(FORMATS)}; by the file's name if left out."),
    ] = None,
    catalog: Annotated[str | None, typer.Option(help="The catalog: titles and pictures for a feed.")] = None,
    decisions: Annotated[str, typer.Option(help="Answers to write: accept, or accept,review.")] = "accept",
    require: Annotated[list[str] | None, typer.Option(help="An attribute that must be filled, repeatable.")] = None,
    taxonomy: Annotated[
        Path | None, typer.Option(help="A map of `shopvl catalog taxonomy`: ids of categories.", dir_okay=False)
    ] = None,
    like: Annotated[
        str | None, typer.Option(help="The catalog, to be written in its own format and columns with its gaps filled.")
    ] = None,
    mapping: MapFile = None,
    sheet: Sheet = None,
) -> None:
    """Tags in a form that other systems take.

    Such as a Google product feed; says how full each column is.

    With --like, the catalog itself comes out again, in its own format and with all its columns; what stands there
    stays. Beside it, FILE.report.csv has each cell that was filled or says something else than the tags,
    FILE.rates.csv how full each category is of what the channel asks for, and FILE.finish.csv the products that lack
    least of it.

    Example: shopvl export tags --format google --catalog products.csv --out feed.tsv
    Example: shopvl export tags --like products.csv --out filled.csv
    """
    from shopvl.tagging.export import decisions_named, export_tags, form_of
    from shopvl.tagging.refill import is_feed

    opened = None if catalog is None else open_split(catalog)
    if like is None and opened is not None and is_feed(opened, form):
        like = catalog  # what a feed has besides is to stay
    if like is not None:
        refilled = open_split(like, None, ("product_id",), reading_of(mapping, sheet))
        _export_like(tags, refilled, target, decisions_named(decisions), taxonomy)
        return
    with progress("writing", None) as report:
        done = export_tags(
            tags,
            target,
            form=form or form_of(target),
            catalog=opened,
            decisions=decisions,
            require=require or (),
            taxonomy=taxonomy,
            report=report,
        )
    table = Table("attribute", "filled", "share", "")
    for name, filled in done.filled.items():
        needed = "required" if name in done.required else ""
        table.add_row(name, str(filled), f"{filled / max(done.products, 1):.1%}", needed)
    out.print(table)
    out.print(f"{target}: {done.products} products; {done.complete} have every required attribute")


def _export_like(tags: Path, catalog: Catalog, target: Path, taken: set[str], taxonomy: Path | None) -> None:
    """The catalog again, its gaps filled; how full it was and is."""
    from shopvl.catalog.taxonomy_map import read_map
    from shopvl.tagging.refill import refill

    ids = None if taxonomy is None else read_map(taxonomy)
    with progress("writing", None) as report:
        done = refill(tags, catalog, target, taken, report, ids)
    table = Table("attribute", "filled", "differ", "")
    for name in sorted(done.filled.keys() | done.differing.keys()):
        table.add_row(name, str(done.filled[name]), str(done.differing[name]), "")
    out.print(table)
    table = Table("the channel asks for", "had it", "have it")
    for name in done.required:
        shares = (counts[name] / max(done.products, 1) for counts in (done.before, done.after))
        table.add_row(name, *(f"{share:.1%}" for share in shares))
    out.print(table)
    if done.columns:
        out.print(f"new columns: {', '.join(done.columns)}", highlight=False)
    out.print(f"{target}: {done.products} products as {catalog.source.title}", highlight=False)
    for what in ("report", "rates", "finish"):
        out.print(f"{target}.{what}.csv", highlight=False)


@review_app.command("export")
def review_export(
    tags: Annotated[Path, typer.Argument(help="The folder that `shopvl tag` wrote.")],
    catalog: CatalogPath,
    target: Annotated[Path, typer.Option("--out", help="Sheet to write: .xlsx with pictures and drop-downs, or .csv.")],
    model: ModelFolder = SHIPPED,
    limit: Annotated[int, typer.Option(min=1, help="At most so many questions, the most useful ones.")] = 500,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Instead all answers about so many products drawn at random.")
    ] = None,
    disputed: Annotated[
        Path | None, typer.Option(help="Instead what people disagree on in these corrections, for somebody else.")
    ] = None,
) -> None:
    """Answers that a person should look at, as a sheet.

    Conflicts come first, then the least certain answers.

    With --sample, products drawn at random: what is right of these shows how far answers can be trusted in this
    catalog, and `shopvl calibrate MODEL CATALOG --corrections FILE` sets thresholds by it.

    Example: shopvl review export tags products.csv --model runs/tagger --out review.xlsx
    """
    from shopvl.design.design import Design
    from shopvl.review.queue import export_disputed, export_review

    opened = open_split(catalog, required=("product_id",))
    ontology = Design.from_pretrained(model).ontology
    with progress("looking up products", None) as report:
        if disputed is not None:
            done = export_disputed(tags, opened, ontology, target, disputed, report)
        else:
            done = export_review(tags, opened, ontology, target, limit=limit, sample=sample, report=report)
    out.print(
        f"{target}: {done.questions} of {done.of} questions, about {done.products} products; "
        f"{done.conflicts} conflicts between picture and title"
    )
    if done.missing:
        chatter.print(f"{done.missing} of these products are not in {catalog}: they have no title and no picture")


@review_app.command("import")
def review_import(
    sheet: Annotated[Path, typer.Argument(help="The sheet, filled in: .xlsx or .csv.")],
    target: Annotated[Path, typer.Option("--out", help="Corrections to add to: a .parquet file.")],
    model: ModelFolder = SHIPPED,
    by: Annotated[str, typer.Option(help="Who filled it in, where several people do.")] = "",
) -> None:
    """Check a sheet that was filled in, and keep its decisions.

    They are added to the corrections; a later one of the same person replaces an earlier one. On what people disagree,
    nothing is decided until a third one has looked at it: `shopvl review export --disputed`.

    Rows with faults are listed, and kept beside the corrections as a sheet to be mended and imported. Exit code 1 if
    there are any.

    Example: shopvl review import review.xlsx --model runs/tagger --out corrections.parquet
    """
    from shopvl.design.design import Design
    from shopvl.review.decisions import import_review

    done = import_review(sheet, Design.from_pretrained(model).ontology, target, by=by)
    if done.faults:
        table = Table("row", "why it was not taken")
        for fault in done.faults:
            table.add_row(str(fault.row), fault.reason)
        out.print(table)
    out.print(
        f"{done.rows} rows in = {done.taken} taken ({done.changed} change the answer, the others confirm it) + "
        f"{done.empty} left empty + {len(done.faults)} rejected"
    )
    if done.taken:
        out.print(
            f"{target}: {done.corrections} corrections; learn from them with `shopvl tune --corrections {target}`"
        )
    if done.disputed:
        out.print(
            f"on {done.disputed} people disagree, so they count as not decided; "
            f"`shopvl review export --disputed {target}` asks somebody else"
        )
    if done.faults:
        out.print(f"{done.rejects}: the rejected rows; mend them there and import that file")
        raise typer.Exit(1)


@review_app.command("agreement")
def review_agreement(
    corrections: Annotated[Path, typer.Argument(help="What several people decided: .parquet, or the app's .jsonl.")],
) -> None:
    """How far people agree.

    For every two people and property that both decided about: how much they said alike, and Cohen's kappa, which is 1
    where they always agree and 0 where they do so as often as by chance.

    Example: shopvl review agreement corrections.parquet
    """
    from shopvl.catalog.corrections import disputed, read_corrections
    from shopvl.review.agreement import agreements

    decisions = read_corrections(corrections)
    table = Table("who", "property", "by both", "alike", "kappa")
    for one in agreements(decisions):
        kappa = "" if one.kappa is None else f"{one.kappa:.2f}"
        who = f"{one.one or 'somebody'}, {one.other or 'somebody'}"
        table.add_row(who, one.property, str(one.both), f"{one.alike / one.both:.0%}", kappa)
    out.print(table if table.row_count else "no two people decided about the same thing")
    out.print(f"{len(disputed(decisions))} wait for a third look")


def ask(
    image: Annotated[str, typer.Argument(help="A picture file, or - for none.")],
    question: Annotated[str, typer.Argument(help="In English or Chinese: what colour is it?")],
    model: ModelFolder = SHIPPED,
    title: Annotated[str | None, typer.Option(help="The product's title.")] = None,
    precision: Precision = DEFAULT_PRECISION,
    as_json: AsJson = False,
    ocr: Ocr = False,
) -> None:
    """Ask about one product.

    The answer comes with its probability, a decision, and the inputs that it rests on.

    Example: shopvl ask shirt.jpg "what colour is it?" --title "Linen shirt" --model runs/answers
    """
    from shopvl.design.design import Design
    from shopvl.inference.ask import ask as ask_design
    from shopvl.inference.ask import sentence

    use_threads(1)  # for one product several threads mostly wait for each other
    path = None if image == "-" else Path(image)
    if path is not None and not path.is_file():
        raise ShopvlError(f"there is no picture {image}; name a JPEG, PNG or WebP file, or - for none")
    picture = None if path is None else path.read_bytes()
    replies = ask_design(with_reader(Design.from_pretrained(model), ocr), question, picture, title, precision)
    if as_json:
        print(json.dumps([reply.as_dict() for reply in replies], ensure_ascii=False, indent=1))
        return
    for reply in replies:
        out.print(sentence(reply), highlight=False)
        others = ", ".join(f"{value} {share:.0%}" for value, share in reply.alternatives)
        rests = " and ".join(reply.evidence) or "nothing"
        conflict = "; picture and title disagree" if reply.conflict else ""
        out.print(f"  rests on {rests}{conflict}" + (f"; else {others}" if others else ""), style="dim")


def embed(
    catalog: CatalogPath,
    folder: OutFolder,
    model: ModelFolder = SHIPPED,
    split: Split = None,
    runtime: RuntimeName = "auto",
    device: DeviceName = None,
    ocr: Ocr = False,
) -> None:
    """Pictures and titles as vectors.

    DIR/embeddings.parquet has the vectors, DIR/rejects.parquet what could not be read.

    Example: shopvl embed products.parquet --model runs/tri-clip/design --out vectors
    """
    from shopvl.inference.embed import embed as embed_catalog

    opened = open_split(catalog, split)
    design = ready(opened_model(model, ocr, device), runtime, opened)
    with progress("embedding", opened.count()) as report:
        embedded, rejected = embed_catalog(design, opened, folder, report=report)
    out.print(f"{folder / 'embeddings.parquet'}: {embedded} products embedded, {rejected} rejected")
