"""Commands that check, make and read catalogs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from shopvl.cli.console import chatter, out, progress, say_unused
from shopvl.cli.options import AsJson, CatalogPath, Encoding, MapFile, OutFolder, Sheet, Split, open_split, reading_of

catalog_app = typer.Typer(no_args_is_help=True, help="Know and prepare a catalog.")


@catalog_app.command("check")
def catalog_check(
    catalog: CatalogPath,
    images: Annotated[bool, typer.Option(help="Also decode every picture.")] = True,
    as_json: AsJson = False,
    mapping: MapFile = None,
    sheet: Sheet = None,
    encoding: Encoding = None,
) -> None:
    """All faults of a table at once, with counts and examples.

    Exit code 1 if there are any.

    Example: shopvl catalog check products.csv
    """
    from dataclasses import asdict

    from shopvl.catalog.check import check_catalog
    from shopvl.catalog.readers import open_catalog

    opened = open_catalog(catalog, required=(), reading=reading_of(mapping, sheet, encoding))
    with progress("checking", None) as report:
        faults = check_catalog(opened, images=images, report=report)
    say_unused(opened)
    if as_json:
        print(json.dumps([asdict(fault) for fault in faults], ensure_ascii=False, indent=1))
    elif not faults:
        out.print("no faults found")
    else:
        table = Table("fault", "count", "what it means", "examples")
        for fault in faults:
            table.add_row(fault.kind, str(fault.count), fault.message, "\n".join(fault.examples))
        out.print(table)
    if faults:
        raise typer.Exit(1)


@catalog_app.command("synth")
def catalog_synth(
    folder: OutFolder,
    products: Annotated[int, typer.Option(help="How many to draw.")] = 1000,
    size_px: Annotated[int, typer.Option(help="Side of a picture in pixels.")] = 224,
    seed: int = 0,
) -> None:
    """Draw a synthetic shop, with its ground truth.

    Pictures, titles in English and Chinese, attributes and queries.

    Example: shopvl catalog synth --out shop --products 500
    """
    from shopvl.synthetic import write_shop

    with progress("drawing", products) as report:
        table = write_shop(folder, products, seed=seed, size_px=size_px, progress=report)
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
