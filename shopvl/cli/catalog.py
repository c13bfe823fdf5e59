"""Commands that check, make and read catalogs."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from shopvl.cli.console import chatter, out, progress, say_unused
from shopvl.cli.options import (
    AsJson,
    CatalogPath,
    MapFile,
    ModelFolder,
    OutFolder,
    Sheet,
    Split,
    open_split,
    reading_of,
)
from shopvl.errors import CatalogError
from shopvl.paths import SHIPPED

if TYPE_CHECKING:
    from shopvl.catalog.readers import Catalog

catalog_app = typer.Typer(no_args_is_help=True, help="Know and prepare a catalog.")


@catalog_app.command("check")
def catalog_check(
    catalog: CatalogPath,
    images: Annotated[bool, typer.Option(help="Also decode every picture.")] = True,
    as_json: AsJson = False,
    mapping: MapFile = None,
    sheet: Sheet = None,
) -> None:
    """All faults of a table at once, with counts and examples.

    Exit code 1 if there are any.

    Example: shopvl catalog check products.csv
    """
    from dataclasses import asdict

    from shopvl.catalog.check import check_catalog
    from shopvl.catalog.readers import open_catalog

    opened = open_catalog(catalog, required=(), reading=reading_of(mapping, sheet))
    with progress("checking", None) as report:
        faults = check_catalog(opened, images=images, report=report)
    if as_json:
        print(json.dumps([asdict(fault) for fault in faults], ensure_ascii=False, indent=1))
        raise typer.Exit(bool(faults))
    _print_reading(opened)
    if not faults:
        out.print("no faults found")
    else:
        table = Table("fault", "count", "what it means", "examples")
        for fault in faults:
            table.add_row(fault.kind, str(fault.count), fault.message, "\n".join(fault.examples))
        out.print(table)
    out.print(_next_step(catalog, opened), highlight=False)
    raise typer.Exit(bool(faults))


def _print_reading(opened: Catalog) -> None:
    """What the table was taken for, and which column is used for what."""
    out.print(f"read as {opened.source.title}", highlight=False)
    for column, use in opened.uses().items():
        if use and use != column:
            out.print(f"  {column} is {use}", highlight=False)
    say_unused(opened)


def _next_step(catalog: str, opened: Catalog) -> str:
    """The command that comes next: a mapping where columns are missing, else tagging with the inputs there are."""
    from shopvl.catalog.schema import REQUIRED

    has = {name: opened.has(name) for name in REQUIRED}
    if not has["product_id"] or not (has["title"] or has["image"]):
        missing = ", ".join(f"{name}: COLUMN" for name in opened.missing)
        return (
            f"next: write mapping.yaml with `columns: {{{missing}}}` and run "
            f"shopvl catalog check {shlex.quote(catalog)} --map mapping.yaml"
        )
    use = "" if has["title"] and has["image"] else " --use title" if has["title"] else " --use image"
    return f"next: shopvl tag {shlex.quote(catalog)} --out tags{use}"


@catalog_app.command("convert")
def catalog_convert(
    catalog: CatalogPath,
    target: Annotated[Path, typer.Option("--out", help="A .parquet, .jsonl, .csv or .tsv file.", dir_okay=False)],
    mapping: MapFile = None,
    sheet: Sheet = None,
) -> None:
    """Any catalog as a table under the names that products have here.

    Rows that cannot be read in full stay, with the reason in the column `fault`.

    Example: shopvl catalog convert products.csv --out products.parquet
    """
    from shopvl.catalog.converting import convert

    opened = open_split(catalog, required=(), reading=reading_of(mapping, sheet))
    with progress("writing", None) as report:
        rows = convert(opened, target, report)
    _print_reading(opened)
    out.print(f"{target}: {rows} rows", highlight=False)


@catalog_app.command("synth")
def catalog_synth(
    folder: OutFolder,
    products: Annotated[int, typer.Option(help="How many to draw.")] = 1000,
    size_px: Annotated[int, typer.Option(help="Side of a picture in pixels.")] = 224,
    described: Annotated[bool, typer.Option(help="With descriptions, measures and brands of a long tail.")] = False,
    pictures: Annotated[int, typer.Option(help="Of each product.", min=1, max=5)] = 1,
    parts: Annotated[bool, typer.Option(help="With the boxes of named parts, to learn from where they are.")] = False,
    seed: int = 0,
) -> None:
    """Draw a synthetic shop, with its ground truth.

    Pictures, titles in English and Chinese, attributes and queries.

    Example: shopvl catalog synth --out shop --products 500
    """
    from shopvl.synthetic import write_shop

    with progress("drawing", products) as report:
        table = write_shop(
            folder,
            products,
            seed=seed,
            size_px=size_px,
            described=described,
            pictures=pictures,
            parts=parts,
            progress=report,
        )
    out.print(str(table))


@catalog_app.command("ontology")
def catalog_ontology(
    catalog: CatalogPath,
    target: Annotated[Path, typer.Option("--out", help="JSON file to write.", dir_okay=False)],
    min_count: Annotated[int, typer.Option(help="Leave out values seen less often.")] = 1,
    names: Annotated[Path | None, typer.Option(help="JSON of names in other languages, and synonyms.")] = None,
    split: Split = None,
) -> None:
    """The categories, properties and values of a catalog.

    Written as a file that can be edited by hand.

    Example: shopvl catalog ontology products.parquet --out ontology.json
    """
    from shopvl.catalog.mining import mine_ontology
    from shopvl.catalog.ontology import apply_names

    opened = open_split(catalog, split)
    with chatter.status("reading the catalog"):
        ontology = mine_ontology(opened.batches(), min_count=min_count)
    if names is not None:
        ontology = apply_names(ontology, names)
    ontology.save(target)
    values = sum(len(prop.values) for prop in ontology.properties)
    out.print(
        f"{target}: {len(ontology.categories)} categories, {len(ontology.properties)} properties, {values} values"
    )


@catalog_app.command("taxonomy")
def catalog_taxonomy(
    catalog: CatalogPath,
    taxonomy: Annotated[Path, typer.Option(help="Google's or Shopify's text file of categories.", dir_okay=False)],
    target: Annotated[Path, typer.Option("--out", help="CSV of the map to write.", dir_okay=False)],
    split: Split = None,
) -> None:
    """The shop's categories in a public taxonomy, by id.

    Each gets a suggestion with a confidence. Write the right id, path or name into the column `correct` of those that
    are wrong or unsure; `shopvl export --taxonomy MAP` then writes the ids. Rows that a map has already are kept.
    The folder of `shopvl tag` in place of the catalog maps the categories that the tags say.

    Example: shopvl catalog taxonomy products.csv --taxonomy google.txt --out map.csv
    """
    from shopvl.catalog.ontology import path_key
    from shopvl.catalog.taxonomy import read_taxonomy
    from shopvl.catalog.taxonomy_map import ACCEPTED_FROM, category_counts, map_categories, reviewed, write_map
    from shopvl.tagging.export import tagged_categories

    tree = read_taxonomy(taxonomy)
    of_tags = (Path(catalog) / "tags.parquet").is_file()
    if of_tags:
        counts = category_counts(tagged_categories(Path(catalog)))
    else:
        opened = open_split(catalog, split, ("product_id",))
        columns = opened.batches(8192, columns=("category_path",))
        counts = category_counts(frame["category_path"].to_list() for frame in columns)
    if not counts:
        raise CatalogError(
            f"no product of {catalog} has a category; tag the catalog and name the folder of tags in its place"
        )
    mapped = map_categories(counts, tree)
    decided = reviewed(target, tree) if target.exists() else {}
    write_map(mapped, target, decided)
    sure = [path_key(one.path) for one in mapped if one.confidence >= ACCEPTED_FROM]
    left = len(mapped) - len({*sure, *decided})
    out.print(f"{target}: {len(mapped)} categories, {len(sure)} of them surely mapped, {len(decided)} reviewed")
    if left:
        step = f"write the right id, path or name into `correct` of the {left} unsure rows and run this again"
    else:
        tags, like = (shlex.quote(catalog), "CATALOG") if of_tags else ("TAGS", shlex.quote(catalog))
        step = f"shopvl export {tags} --like {like} --out FILE --taxonomy {shlex.quote(str(target))}"
    out.print(f"next: {step}", highlight=False)


@catalog_app.command("audit")
def catalog_audit(
    catalog: CatalogPath,
    target: Annotated[Path, typer.Option("--out", help="Sheet to write: .xlsx with pictures and drop-downs, or .csv.")],
    model: ModelFolder = SHIPPED,
    limit: Annotated[int, typer.Option(min=1, help="At most so many labels, the most suspicious ones.")] = 500,
    split: Split = None,
    titles: Annotated[bool, typer.Option("--titles", help="Titles instead of labels.")] = False,
) -> None:
    """Labels of the catalog that are probably wrong, or titles.

    Labels that the model contradicts, as a review sheet, the most suspicious first; and how many of them are expected
    to be wrong. `shopvl review import` takes what you decide. Use a model that did not learn from these labels.

    With --titles, a .csv of titles that the picture or the catalog's own values deny, and of those that leave out what
    most titles of the catalog say.

    Example: shopvl catalog audit products.csv --out suspects.xlsx
    """
    from shopvl.design.design import Design
    from shopvl.review.label_errors import audit_labels

    opened = open_split(catalog, split, required=("product_id",))
    if titles:
        _audit_titles(opened, target, model, limit)
        return
    with progress("comparing", opened.count()) as report:
        found = audit_labels(Design.from_pretrained(model), opened, target, limit=limit, report=report)
    if not any(one.suspects for one in found):
        out.print(f"the model contradicts none of {sum(one.labels for one in found):,} labels; no sheet was written")
        return
    table = Table("property", "labels", "slips among them", "in the sheet", "of these wrong")
    for one in sorted(found, key=lambda one: -one.suspects):
        expected = f"about {one.expected:.0f}" if one.suspects else ""
        table.add_row(one.name, f"{one.labels:,}", f"{one.noise:.1%}", str(one.suspects), expected)
    out.print(table)
    out.print(f"{target}\nshopvl review import {target} --model {model} --out corrections.parquet", highlight=False)


def _audit_titles(catalog: Catalog, target: Path, model: Path, limit: int) -> None:
    from shopvl.design.design import Design
    from shopvl.review.title_audit import audit_titles

    with progress("comparing", catalog.count()) as report:
        done = audit_titles(Design.from_pretrained(model), catalog, target, limit=limit, report=report)
    table = Table("property", "denied by picture or catalog", "left out")
    for name in sorted(done.denials | done.omissions, key=lambda name: -done.denials[name]):
        table.add_row(name, f"{done.denials[name]:,}", f"{done.omissions[name]:,}" if done.omissions[name] else "")
    out.print(f"{done.titles:,} titles compared: {done.denied:,} are denied, {done.lacking:,} leave something out")
    if done.denied or done.lacking:
        out.print(table)
        out.print(str(target), highlight=False)


@catalog_app.command("queries")
def catalog_queries(
    catalog: CatalogPath,
    count: Annotated[int, typer.Option(help="How many to make.")] = 20,
    seed: int = 0,
    split: Split = None,
) -> None:
    """Search queries from categories and attributes.

    As training makes them; one JSON object per line.

    Example: shopvl catalog queries products.parquet --count 100 > queries.jsonl
    """
    import random
    from itertools import islice

    from shopvl.catalog.mining import mine_ontology
    from shopvl.catalog.queries import make_query
    from shopvl.data.rows import pairs

    opened = open_split(catalog, split)
    with chatter.status("reading the catalog"):
        ontology = mine_ontology(opened.batches())
    rng = random.Random(seed)
    rows = (row for frame in opened.batches() for row in frame.iter_rows(named=True) if row["title"])
    for row in islice(rows, count):
        query = make_query(row["title"], row["category_path"] or (), pairs(row["attributes"]), ontology, rng)
        wants = [str(ontology.facts[fact]) for fact in query.wants]
        print(json.dumps({"query": query.text, "product_id": row["product_id"], "wants": wants}, ensure_ascii=False))
