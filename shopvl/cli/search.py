"""Commands that make an index, search it and audit it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from shopvl.cli.console import chatter, out, progress, say
from shopvl.cli.options import (
    AsJson,
    DeviceName,
    ModelFolder,
    Ocr,
    OutFolder,
    RuntimeName,
    Split,
    open_split,
    opened_model,
    ready,
)
from shopvl.errors import ShopvlError
from shopvl.paths import SHIPPED

if TYPE_CHECKING:
    from shopvl.catalog.ontology import Ontology
    from shopvl.catalog.readers import Catalog
    from shopvl.design.design import Design
    from shopvl.search import Found, ParsedQuery, Settings
    from shopvl.search.learning import Learned


def index(
    catalog: Annotated[str | None, typer.Argument(help="A table of any kind, or a folder of pictures.")] = None,
    model: ModelFolder = SHIPPED,
    folder: OutFolder = ...,  # type: ignore[assignment]
    split: Split = None,
    calibrate_on: Annotated[
        str | None, typer.Option(help="Split to choose title share, weights and cut-off on; empty: none.")
    ] = None,
    tags: Annotated[Path | None, typer.Option(help="A folder that `shopvl tag` wrote: tags become filters.")] = None,
    names: Annotated[Path | None, typer.Option(help="JSON with names in other languages, and synonyms.")] = None,
    update: Annotated[bool, typer.Option("--update", help="Add to the index that is there, or replace by id.")] = False,
    delete: Annotated[Path | None, typer.Option(help="With --update: a file of product ids, one a line.")] = None,
    clicks: Annotated[Path | None, typer.Option(help="Clicks: query, product_id, maybe count and position.")] = None,
    kind: Annotated[str | None, typer.Option(help="flat, hnsw, ivf-sq8 or pq; chosen by size if left out.")] = None,
    memory_mb: Annotated[int | None, typer.Option(min=1, help="Memory that vectors may take.")] = None,
    milvus: Annotated[str | None, typer.Option(help="Keep vectors in Milvus: a server's URI, or a .db file.")] = None,
    store: Annotated[
        str | None, typer.Option(help="Keep vectors in the store NAME=PLACE; --milvus URI says milvus=URI.")
    ] = None,
    runtime: RuntimeName = "auto",
    device: DeviceName = None,
    ocr: Ocr = False,
) -> None:
    """Write a search index of a catalog, or change one.

    With --update, products are added, replaced and deleted, and tags attached.

    Example: shopvl index products.parquet --model runs/tri-clip/design --out index --tags tags
    """
    from shopvl.catalog.ontology import apply_names
    from shopvl.search import FaissStore, Plan, Settings, build_index, kind_named, store_at

    named = store if milvus is None else f"milvus={milvus}"
    if update:
        if any(option is not None for option in (calibrate_on, names, kind, memory_mb, named)):
            raise ShopvlError("--update keeps how the index was made; rebuild it to change kind, names or settings")
        added = None if catalog is None else _opened(catalog, split, model, runtime, device, ocr)
        if added or delete or tags or not clicks:
            _update(folder, added, delete, tags)
        if clicks:
            _learn(added[0] if added else opened_model(model, ocr, device), folder, clicks)
        return
    if catalog is None or delete is not None:
        raise ShopvlError("index wants a catalog to make an index of, or --update to change the one in --out")
    vector_store = store_at(named, folder) if named else FaissStore(kind=kind_named(kind), memory_mb=memory_mb)
    design, opened = _opened(catalog, split, model, runtime, device, ocr)
    ontology = apply_names(design.ontology, names) if names else design.ontology
    settings = _calibrated(design, open_split(catalog, calibrate_on), tags, ontology) if calibrate_on else Settings()
    plan = Plan(settings=settings, store=vector_store)
    with progress("indexing", opened.count()) as report:
        done = build_index(design, opened, folder, report, tags=tags, plan=plan, ontology=ontology)
    out.print(f"{folder}: {done.indexed} products indexed, {done.rejected} rejected")
    _say_repeated(done.repeated)
    if not calibrate_on:
        _tune(design, folder)
    if clicks:
        _learn(design, folder, clicks)


def _calibrated(design: Design, held_out: Catalog, tags: Path | None, ontology: Ontology) -> Settings:
    """With the labels of held-out products."""
    from shopvl.search.tune import tune_settings

    with progress("choosing", None) as report:
        return tune_settings(design, held_out, tags=tags, ontology=ontology, report=report)


def _tune(design: Design, folder: Path) -> None:
    """Without labels, and say what it does."""
    from shopvl.search.tune import FEWEST, tune_without_labels

    cut_off, learned = tune_without_labels(design, folder)
    if cut_off is None:
        chatter.print(f"no query will be refused: a cut-off needs {FEWEST} products with titles to be measured on")
    else:
        chatter.print(
            f"{cut_off.kept:.0%} of queries made from its own products are answered, {cut_off.refused:.0%} of others "
            "return nothing; --calibrate-on val tunes the ranking on labels too"
        )
    _say_learned(learned)


def _learn(design: Design, folder: Path, log: Path) -> None:
    """From clicks, and say what that did."""
    from shopvl.search.tune import learn_from_clicks

    clicks, learned = learn_from_clicks(design, folder, log)
    say(str(clicks))
    if not _say_learned(learned):
        chatter.print("the weights in use rank these clicks as well as any others: they stay")


def _say_learned(learned: Sequence[Learned]) -> bool:
    """Say which kinds of queries have new weights; whether any has."""
    better = [f"{one.kind} {one.before:.3f} to {one.after:.3f}" for one in learned if one.weights is not None]
    if better:
        say(f"weights learned for kinds of queries, nDCG@10 on queries that were held out: {', '.join(better)}")
    return bool(better)


def _opened(
    catalog: str, split: str | None, model: Path, runtime: str, device: str | None, ocr: bool
) -> tuple[Design, Catalog]:
    """The model, and the products that it is to embed."""
    opened = open_split(catalog, split)
    _say_own_columns(opened)
    return ready(opened_model(model, ocr, device), runtime, opened), opened


def _update(folder: Path, added: tuple[Design, Catalog] | None, delete: Path | None, tags: Path | None) -> None:
    """Change the index in the folder, and say what that did."""
    from shopvl.search import read_ids, update_index

    if added is None and delete is None and tags is None:
        raise ShopvlError("--update wants a catalog to add, --delete with ids, or --tags; none was given")
    design, catalog = added or (None, None)
    with progress("updating", catalog.count() if catalog else 0) as report:
        done = update_index(design, catalog, folder, report, delete=read_ids(delete) if delete else (), tags=tags)
    out.print(
        f"{folder}: {done.indexed} products indexed, {done.replaced} of them in place of old ones, "
        f"{done.deleted} deleted, {done.rejected} rejected"
    )
    _say_repeated(done.repeated)
    if done.unknown:
        few = ", ".join(done.unknown[:3])
        out.print(f"{len(done.unknown)} ids to delete are not in the index: {few}", highlight=False)


def _say_own_columns(opened: Catalog) -> None:
    """Which columns of the catalog have a name that the index keeps for itself."""
    from shopvl.search.segments import OWN

    if taken := OWN.intersection(opened.plan.further):
        say(f"columns that no condition can use, as the index has its own of that name: {', '.join(sorted(taken))}")


def _say_repeated(rows: int) -> None:
    if rows:
        chatter.print(f"{rows} rows have an id that comes again further down: the last row of an id counts")


def search(
    index: Annotated[Path, typer.Argument(help="An index folder.")],
    words: Annotated[str | None, typer.Argument(help="What to look for.")] = None,
    model: ModelFolder = SHIPPED,
    like: Annotated[str | None, typer.Option(help="An id: products like that one, without words.")] = None,
    image: Annotated[Path | None, typer.Option(help='A picture to look for; with words: "like this, but".')] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="PROPERTY=VALUE, PROPERTY<NUMBER or 'PROPERTY 5..8 cm', repeatable.")
    ] = None,
    facet: Annotated[list[str] | None, typer.Option(help="Count a property's values, repeatable.")] = None,
    by: Annotated[str, typer.Option(help="hybrid, dense or lexical.")] = "hybrid",
    collapse: Annotated[str | None, typer.Option(help="photo or variant: the best of each group only.")] = None,
    rerank: Annotated[Path | None, typer.Option(help="A model of the recipe vilt that has a say in the order.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show the nearest even if nothing answers.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Print what was understood as well.")] = False,
    not_meant: Annotated[
        list[str] | None, typer.Option(help="A part of what was understood that was not meant, repeatable.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many results.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Find products by words, picture, or both.

    With filters and counts; a query that nothing fits finds nothing. "shirts not black under 50" is understood;
    --explain prints how.

    Example: shopvl search index "red running shoes" --model runs/tri-clip/design --where colour=Red --facet gender
    """
    from shopvl.design.design import Design
    from shopvl.search import SearchIndex, collapse_named, conditions, way_named

    if image is not None and not image.is_file():
        raise ShopvlError(f"there is no picture {image}; name a JPEG, PNG or WebP file")
    opened = SearchIndex(index, Design.from_pretrained(model))
    filters, groups = conditions(where or ()), collapse_named(collapse)
    if like is not None:
        if words or image:
            raise ShopvlError("--like finds products like one of the index: leave the words and --image out")
        results = opened.more_like(like, where=filters, k=k, collapse=groups)
    else:
        results = opened.search(
            words,
            image.read_bytes() if image else None,
            where=filters,
            k=k,
            by=way_named(by),
            collapse=groups,
            facets=facet or (),
            cut_off=not everything,
            not_meant=not_meant or (),
            matcher=Design.from_pretrained(rerank) if rerank else None,
        )
    _say_found(results, as_json=as_json, explain=explain)


def _say_found(results: Found, *, as_json: bool, explain: bool) -> None:
    if as_json:
        print(json.dumps(results.as_dict(), ensure_ascii=False, indent=1))
        return
    if explain:
        _say_understood(results.query)
    if results.close:
        out.print("nothing fits exactly; these are close:")
    if results.hits:
        out.print(_table_of(results))
    else:
        out.print("nothing found" + ("; --all shows the nearest products" if results.refused else ""))
    for name, counts in results.facets.items():
        listed = ", ".join(f"{value} ({count})" for value, count in counts)
        out.print(f"{name}: {listed}", highlight=False)


def suggest(
    index: Annotated[Path, typer.Argument(help="An index folder.")],
    typed: Annotated[str, typer.Argument(help="What was typed so far.")],
    model: ModelFolder = SHIPPED,
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="How many.")] = 8,
    as_json: AsJson = False,
) -> None:
    """What a shopper who has begun to type may be about to ask.

    Names of what is stocked, and titles.

    Example: shopvl suggest index "black sh" --model runs/tri-clip/design
    """
    from shopvl.design.design import Design
    from shopvl.search import SearchIndex

    found = SearchIndex(index, Design.from_pretrained(model)).suggest(typed, k)
    if as_json:
        print(json.dumps([asdict(one) for one in found], ensure_ascii=False, indent=1))
        return
    if not found:
        out.print("nothing that is stocked begins like that")
    for one in found:
        out.print(f"{one.text}  ({one.kind}, {one.count})", highlight=False)


def _table_of(results: Found) -> Table:
    table = Table("", "score", "product", "title", "category", "attributes")
    for rank, hit in enumerate(results, 1):
        attributes = ", ".join(f"{name}: {value}" for name, value in hit.attributes)
        shown = (hit.product_id, hit.title, " > ".join(hit.category_path), attributes)
        table.add_row(str(rank), f"{hit.score:.3f}", *shown)
    return table


def _say_understood(query: ParsedQuery) -> None:
    """Every part of what a query means, a line each; readings, facts, negations and numbers are what
    `--not-meant` takes."""
    told = query.as_dict()
    for name in ("read", "language", "readings", "facts", "not", "numbers", "sizes", "filters", "wishes", "notes"):
        said = told[name]
        if isinstance(said, dict):
            said = [part if certainty == 1 else f"{part} ({certainty:.0%} certain)" for part, certainty in said.items()]
        if said:
            line = said if isinstance(said, str) else "; ".join(said)
            out.print(f"{name}: {line}", highlight=False)


def search_audit(
    index: Annotated[Path, typer.Argument(help="An index folder.")],
    queries: Annotated[Path, typer.Argument(help="A table with a column `query`, maybe `count`; or a report.")],
    folder: OutFolder,
    model: ModelFolder = SHIPPED,
) -> None:
    """Which queries find little, and what would mend each.

    Reads reports of search terms of GA4, Google Ads, Shopify and their like too.
    Writes DIR/audit.csv and DIR/audit.html.

    Example: shopvl search-audit index queries.csv --model runs/tri-clip/design --out audit
    """
    from shopvl.catalog.search_terms import SearchTerms
    from shopvl.design.design import Design
    from shopvl.files import exclusive_lock
    from shopvl.search import SearchIndex
    from shopvl.search.audit import audit

    terms = SearchTerms.read(queries)
    say(str(terms))
    counted_queries = terms.counted
    opened = SearchIndex(index, Design.from_pretrained(model))
    with exclusive_lock(folder, f"writing into {folder}"), progress("asking", len(counted_queries)) as report:
        done = audit(opened, counted_queries, folder, report)
    table = Table("verdict", "queries", "asked")
    for verdict, (count, times) in done.items():
        table.add_row(verdict, str(count), str(times))
    out.print(table)
    out.print(f"{folder / 'audit.csv'}\n{folder / 'audit.html'}")


def search_judge(
    index: Annotated[Path, typer.Argument(help="An index folder.")],
    queries: Annotated[Path, typer.Argument(help="A table with a column `query`, or a sheet that was graded.")],
    sheet: Annotated[Path | None, typer.Option("--out", help="Write a sheet to grade, a CSV file.")] = None,
    model: ModelFolder = SHIPPED,
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="Products of each way to search.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Sheets to grade what a search finds, and nDCG from them.

    With --out a sheet is written; without it, a sheet that people graded is read, and says how well each way to search
    ranks. Grades are 0 (wrong) to 3 (what was asked for), in the column `grade`.

    Example: shopvl search-judge index queries.csv --model runs/tri-clip/design --out sheet.csv
    """
    from shopvl.catalog.search_terms import SearchTerms
    from shopvl.design.design import Design
    from shopvl.search import SearchIndex
    from shopvl.search.judging import judge, read_grades, write_sheet

    asked = [text for text, _ in SearchTerms.read(queries).counted] if sheet is not None else []
    grades = read_grades(queries) if sheet is None else {}
    opened = SearchIndex(index, Design.from_pretrained(model))
    if sheet is not None:
        rows = write_sheet(opened, asked, sheet, k)
        out.print(f"{sheet}: {rows} products for {len(asked)} queries; write 0 to 3 in the column grade")
        return
    judgements = judge(opened, grades)
    if as_json:
        print(json.dumps([asdict(one) for one in judgements], indent=1))
        return
    table = Table("way", "nDCG@10", "+-", "judged")
    for one in judgements:
        width = "" if one.ndcg.half_width is None else f"{one.ndcg.half_width:.3f}"
        table.add_row(one.by, f"{one.ndcg.mean:.3f}", width, f"{one.judged:.0%}")
    out.print(table)
