"""The command line: verbs with examples. Data to stdout or --out, chatter to stderr, one sentence on failure.

Heavy libraries are imported inside the commands that need them, so that help answers at once.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.columns import Columns
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

from shopvl.errors import ShopvlError
from shopvl.paths import SHIPPED

if TYPE_CHECKING:
    from shopvl.batch import Modality
    from shopvl.catalog.readers import Catalog
    from shopvl.data.rows import RejectedRow
    from shopvl.design.design import Design
    from shopvl.runs.gate import Verdicts

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
catalog_app = typer.Typer(no_args_is_help=True, help="Know and prepare a catalog.")
recipes_app = typer.Typer(no_args_is_help=True, help="Published designs as short recipes over one set of parts.")
review_app = typer.Typer(no_args_is_help=True, help="Answers to look at, out as a sheet; corrections, back in.")
experiments_app = typer.Typer(no_args_is_help=True, help="Runs: many at once, compared, repeated, promoted.")
app.add_typer(catalog_app, name="catalog")
app.add_typer(recipes_app, name="recipes")
app.add_typer(review_app, name="review")
app.add_typer(experiments_app, name="experiments")

DEMO_PRODUCTS, DEMO_MINUTES = 2000, 1.0
PRECISION = 0.95
SHOWN_REASONS = 5

chatter = Console(stderr=True)
out = Console(soft_wrap=True)  # a path that is wrapped cannot be copied

CatalogPath = Annotated[str, typer.Argument(help="CSV, JSONL or Parquet table, or a folder of pictures.")]
ModelFolder = Annotated[
    Path, typer.Option("--model", help="A shopvl model folder; left out: the model in the box.", show_default=False)
]
OutFolder = Annotated[Path, typer.Option("--out", help="Folder to write.", file_okay=False)]
Split = Annotated[str | None, typer.Option(help="Only rows of this split.")]
Ocr = Annotated[
    bool, typer.Option("--ocr", help="Read pictures first: paint out text laid over them; printed words are evidence.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def main() -> None:
    """Entry point: a user's mistake is one sentence on stderr and exit code 1."""
    try:
        app()
    except (ShopvlError, OSError) as error:
        if not isinstance(error, ShopvlError) and error.filename is None:
            raise  # no file of the user's: a fault of ours
        chatter.print(f"shopvl: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


class _Speed(ProgressColumn):
    """How many a second, of late."""

    def render(self, task: Task) -> Text:
        """`123/s`, empty until it is known."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


@contextmanager
def _progress(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr; call the result with how many are done."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=chatter, transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def _stages() -> Iterator[Callable[..., None]]:
    """A bar per stage on stderr; call the result with a stage, its share done, and a line of figures."""
    columns = (
        TextColumn("{task.description}", table_column=Column(min_width=7, no_wrap=True)),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TextColumn("{task.fields[line]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
    )
    with Progress(*columns, console=chatter, expand=True) as bar:
        tasks: dict[str, Any] = {}

        def report(stage: str, share: float, line: str = "") -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=1.0, line="")
            bar.update(tasks[stage], completed=share, line=line)

        yield report


def _inputs(text: str) -> tuple[Modality, ...]:
    """`image,title` as inputs, in the order models want."""
    asked = [name.strip() for name in text.split(",") if name.strip()]
    unknown = sorted(set(asked) - {"image", "title"})
    if unknown or not asked:
        came = ", ".join(unknown) or "nothing"
        raise ShopvlError(f"--use knows image and title, {came} came; write --use image,title or one of them")
    found: list[Modality] = []
    if "image" in asked:
        found.append("image")
    if "title" in asked:
        found.append("title")
    return tuple(found)


def _say(told: str) -> None:
    """A line of chatter that is copied as it is, however long."""
    chatter.print(told, markup=False, highlight=False, soft_wrap=True)


def _opened(catalog: str | Path, split: str | None = None, **wanted: Collection[str]) -> Catalog:
    """The catalog, or that split of it; says so where titles decide which split a row is in."""
    from shopvl.catalog.readers import open_catalog
    from shopvl.catalog.splits import SHARES

    opened = open_catalog(catalog, split=split or None, **wanted)
    if split and not opened.has("split"):
        shares = ", ".join(f"{share:.0%} {name}" for name, share in SHARES)
        _say(f"{catalog} has no column split, so titles decide which products are in which: {shares}")
    return opened


def _say_unused(opened: Catalog) -> None:
    """Which columns nothing is learned from: one that holds a property should say so."""
    if opened.plan.further:
        told = f"columns that are not learned from: {', '.join(opened.plan.further)}"
        _say(f"{told}; name a column attribute:NAME where it holds a property")


def _say_rejects(rejects: Sequence[RejectedRow]) -> None:
    """How many rows were not learned from, and why."""
    from shopvl.tagging.run import reason_kind

    for reason, count in Counter(reason_kind(one.reason) for one in rejects).most_common(SHOWN_REASONS):
        chatter.print(f"  {count} rows were not learned from: {reason}", markup=False, highlight=False)


def _reading(design: Design, ocr: bool) -> Design:
    """The design, with a reader where OCR is asked for; says at once where the engine is not installed."""
    from shopvl.data.rows import picture_reader

    if ocr and design.reader is None:
        design.reader = picture_reader()
        design.reader.version()
    return design


# --- the main job on the built-in catalog


@app.command()
def demo(
    out_folder: OutFolder = Path("demo"),
    products: Annotated[int, typer.Option(help="Size of the synthetic shop.")] = DEMO_PRODUCTS,
    minutes: Annotated[float, typer.Option(help="Training time.")] = DEMO_MINUTES,
    seed: int = 0,
) -> None:
    """Draw a shop, let the model in the box answer, make it the shop's own; tag, index, search; a report to look at.

    Example: shopvl demo --out demo
    """
    from shopvl.demo import first_answers, run_demo

    for line in first_answers(out_folder, seed):
        out.print(line, markup=False, highlight=False)
    out.print("That was the model in the box, which knows fashion and beauty. Now it learns what this shop sells.\n")
    with _stages() as report:
        page = run_demo(out_folder, products=products, minutes=minutes, seed=seed, report=report)
    out.print(f"\nLook at [bold]{page}[/bold]: the tags, the search results and the scores, with pictures.")
    out.print(f"Then try:  shopvl search {out_folder}/index 'red summer dress' --model {out_folder}/model")


@app.command("app")
def open_app(
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", help="A tuned model folder; left out: the demo's where there is one, else that in the box."
        ),
    ] = None,
    catalog: Annotated[str | None, typer.Option(help="The products: a table or a folder of pictures.")] = None,
    index: Annotated[Path | None, typer.Option(help="What `shopvl index` wrote.")] = None,
    tags: Annotated[Path | None, typer.Option(help="What `shopvl tag` wrote, to be reviewed.")] = None,
    compare: Annotated[list[Path] | None, typer.Option(help="A further model to compare with, repeatable.")] = None,
    names: Annotated[Path | None, typer.Option(help="JSON of names in other languages, and synonyms.")] = None,
    corrections: Annotated[Path | None, typer.Option(help="Where decisions go: a .jsonl file, added to.")] = None,
    work: Annotated[Path, typer.Option(help="Folder for decisions and catalog runs.")] = Path("app-work"),
    demo_folder: Annotated[Path | None, typer.Option("--demo-folder", help="Where `shopvl demo` wrote.")] = None,
    make_demo: Annotated[bool, typer.Option("--demo", help="Make the demo first, if it is not there.")] = False,
    host: Annotated[str, typer.Option(help="Address to listen on; others than loopback let others in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 7860,
    upload_mb: Annotated[int, typer.Option(min=1, help="Size that an upload may have.")] = 200,
) -> None:
    """Open the app for merchandisers in the browser: look at products, search, review, tag a catalog, compare models.

    Example: shopvl app --model runs/tagger --catalog products.csv --index index --tags tags
    """
    from shopvl.demo import demo_parts, run_demo

    place = demo_folder or Path("demo")
    made = (place / "report.html").exists()
    if model is None and (demo_folder or make_demo or (made and catalog is None)):
        if make_demo and not made:
            with _stages() as report:
                run_demo(place, products=DEMO_PRODUCTS, minutes=DEMO_MINUTES, report=report)
        parts: dict[str, Any] = {**demo_parts(place)}
        work = place / "app"
    else:
        parts = {"model": model or SHIPPED, "catalog": catalog, "index": index, "tags": tags, "names": names}
    from shopvl.service.app_service import AppService

    with chatter.status("loading"):
        serving = _app_pages()
        bench = AppService.open(**parts, work=work, others=compare or (), corrections=corrections)
    serving.serve(
        bench, host=host, port=port, upload_mb=upload_mb, ready=lambda url: out.print(f"Open {url} (Chinese: {url}/zh)")
    )


def _app_pages() -> Any:
    """The module `app.serving`, which lies beside the package in a checkout and inside it in a wheel."""
    import importlib

    from shopvl.paths import resource_dir

    sys.path.insert(0, str(resource_dir("app").parent))
    try:
        return importlib.import_module("app.serving")
    except ModuleNotFoundError as missing:
        if missing.name not in ("gradio", "uvicorn", "fastapi"):
            raise
        raise ShopvlError("the app needs Gradio, which is not here; pip install 'shopvl[app]'") from None


# --- catalogs


@catalog_app.command("check")
def catalog_check(
    catalog: CatalogPath,
    images: Annotated[bool, typer.Option(help="Also decode every picture.")] = True,
    as_json: AsJson = False,
) -> None:
    """List all faults of a table in one go, with counts and examples. Exit code 1 if there are any.

    Example: shopvl catalog check products.csv
    """
    from dataclasses import asdict

    from shopvl.catalog.check import check_catalog
    from shopvl.catalog.readers import open_catalog

    with _progress("checking", None) as report:
        faults = check_catalog(catalog, images=images, report=report)
    _say_unused(open_catalog(catalog, required=()))
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
    """Draw a synthetic shop: pictures, titles in English and Chinese, attributes, queries, and the ground truth.

    Example: shopvl catalog synth --out shop --products 500
    """
    from shopvl.synthetic import write_shop

    with _progress("drawing", products) as report:
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
    """Mine categories, properties and values from a catalog, to be edited by hand.

    Example: shopvl catalog ontology products.parquet --out ontology.json
    """
    from shopvl.catalog.ontology import apply_names, mine_ontology

    opened = _opened(catalog, split)
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
    """Make search queries from category and attributes, as training does; one JSON object per line.

    Example: shopvl catalog queries products.parquet --count 100 > queries.jsonl
    """
    import random
    from itertools import islice

    from shopvl.catalog.ontology import mine_ontology
    from shopvl.catalog.queries import make_query
    from shopvl.data.rows import pairs

    opened = _opened(catalog, split)
    with chatter.status("reading the catalog"):
        ontology = mine_ontology(opened.batches())
    rng = random.Random(seed)
    rows = (row for frame in opened.batches() for row in frame.iter_rows(named=True) if row["title"])
    for row in islice(rows, count):
        query = make_query(row["title"], row["category_path"] or (), pairs(row["attributes"]), ontology, rng)
        wants = [str(ontology.facts[fact]) for fact in query.wants]
        print(json.dumps({"query": query.text, "product_id": row["product_id"], "wants": wants}, ensure_ascii=False))


# --- recipes and experiments


@recipes_app.command("list")
def recipes_list(as_json: AsJson = False) -> None:
    """Every design by name, with its main parts and paper.

    Example: shopvl recipes list
    """
    from shopvl.recipes import RECIPES

    if as_json:
        print(json.dumps(list(RECIPES)))
        return
    table = Table("name", "picture + words: fusion", "source", box=SIMPLE_HEAD)
    table.columns[0].no_wrap = True
    for name, family in RECIPES.items():
        recipe = family.base
        meet = recipe.fusion if recipe.answering is None else recipe.answering
        table.add_row(name, f"{recipe.image.kind} + {recipe.text.kind}: {meet.kind}", recipe.source)
    out.print(table)
    out.print("one of them: shopvl recipes show NAME; all parts: shopvl recipes table", highlight=False)


@recipes_app.command("show")
def recipes_show(
    name: str, size: Annotated[str, typer.Option(help="tiny, mini or base.")] = "mini", as_json: AsJson = False
) -> None:
    """One design as a card, or as JSON to copy from.

    Example: shopvl recipes show vilt --size base
    """
    from shopvl.recipes import SIZES, find

    recipe = find(name, size)
    if as_json:
        print(json.dumps(recipe.to_dict(), indent=1))
        return
    out.print(f"[bold]{recipe.name}[/bold] ({size})")
    out.print(f"paper:   {recipe.source}", highlight=False)
    out.print(f"differs: {recipe.differs}\n", highlight=False)
    table = Table("part", "kind", "settings")
    values = recipe.to_dict()
    for role in ("image", "text", "fusion", "space", "ocr", "answering", "leave_out", "teacher"):
        if values[role] is not None:
            table.add_row(role, values[role]["kind"], _settings(values[role]))
    for part in values["objectives"]:
        table.add_row("objective", part["kind"], _settings(part))
    table.add_row("combine", values["combine"], "")
    for role in ("schedule", "augment"):
        table.add_row(role, values[role].get("kind", ""), _settings(values[role]))
    out.print(table)
    others = [other for other in SIZES if other != size]
    out.print(f"sizes: {', '.join(SIZES)} (--size {' or '.join(others)}); as JSON: --json", highlight=False)


def _settings(part: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in part.items() if name != "kind")


@recipes_app.command("table")
def recipes_table() -> None:
    """Parts x designs: which design uses which part at size base.

    Example: shopvl recipes table
    """
    from shopvl.recipes import RECIPES

    used = {name: family.base.parts() for name, family in RECIPES.items()}
    table = Table(box=SIMPLE_HEAD, padding=0)
    table.add_column("role", no_wrap=True)
    table.add_column("part", no_wrap=True)
    for number in range(1, len(used) + 1):  # names would not fit a terminal side by side
        table.add_column(str(number), justify="center", no_wrap=True, min_width=2)
    for role in dict.fromkeys(role for parts in used.values() for role in parts):
        for kind in sorted({kind for parts in used.values() for kind in parts.get(role, ())}):
            table.add_row(role, kind, *("x" if kind in parts.get(role, ()) else "" for parts in used.values()))
        table.add_section()
    numbered = (f"{number} {name}" for number, name in enumerate(used, 1))
    out.print(Columns(numbered, padding=(0, 2)), table)


Store = Annotated[
    str | None, typer.Option(help="MLflow store; else $MLFLOW_TRACKING_URI, else a local one in the folder runs.")
]
Protect = Annotated[
    list[str] | None, typer.Option(help="A property that must not drop, repeatable; else all of the champion's.")
]


SHOWN_FIGURES = 7  # of a leaderboard, as many as fit a terminal; the files have them all


@experiments_app.command("list")
def experiments_list(store: Store = None) -> None:
    """Experiment and grid files that ship with shopvl, and the experiments of a store if one is named.

    Example: shopvl experiments list
    """
    from shopvl.paths import resource_dir

    for path in sorted(resource_dir("experiments").glob("*.yaml")) + sorted(
        resource_dir("experiments").glob("grids/*.yaml")
    ):
        out.print(str(path))
    if store is not None:
        from shopvl.tracking.store import RunStore

        for name in RunStore(store).experiments():
            out.print(f"{store}: {name}", markup=False)


@experiments_app.command("run")
def experiments_run(
    grid: Annotated[Path, typer.Argument(help="YAML: an experiment, maybe with a grid of values and seeds.")],
    folder: OutFolder,
    store: Store = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
) -> None:
    """Train, tune, calibrate and evaluate every run of a grid. What is done is left, what was stopped goes on.

    Started several times at once, the processes share the runs out.

    Example: shopvl experiments run experiments/grids/shop-small.yaml --out runs/shop-small
    """
    import torch

    from shopvl.runs.grid import read_cells
    from shopvl.runs.running import run_grid

    if threads is not None:
        torch.set_num_threads(threads)
    cells = read_cells(grid)
    for number, cell in enumerate(cells, 1):
        chatter.print(f"{number} of {len(cells)}: {cell.name}", markup=False, highlight=False)
        with _stages() as report:
            (outcome,) = run_grid([cell], folder, store, report)
        score = "" if outcome.score is None else f", score {outcome.score:.3f}"
        out.print(f"{cell.name}: {outcome.state}{score}", markup=False, highlight=False)
    out.print(f"Look at them: shopvl experiments compare {cells[0].experiment.name} --out {folder}", markup=False)


@experiments_app.command("compare")
def experiments_compare(
    name: Annotated[str, typer.Argument(help="An experiment's name: that of its file.")],
    folder: OutFolder,
    store: Store = None,
) -> None:
    """Tracked runs side by side: a table here, LEADERBOARD.md, and leaderboard.html with plots.

    Example: shopvl experiments compare shop-small --out runs/shop-small
    """
    from shopvl.runs.leaderboard import Leaderboard

    board = Leaderboard.read(name, store)
    headers, rows = board.rows()
    table = Table(*headers[:SHOWN_FIGURES], box=SIMPLE_HEAD)
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(*map(Text, row[:SHOWN_FIGURES]))
    out.print(table)
    for path in board.write(folder):
        out.print(str(path))


@experiments_app.command("repeat")
def experiments_repeat(run_id: str, folder: OutFolder, store: Store = None) -> None:
    """Run once more what the logged parameters of a run say, and compare. Exit code 1 where a metric differs.

    Example: shopvl experiments repeat 0123456789abcdef0123456789abcdef --out runs/again
    """
    from shopvl.runs.running import TOLERANCE, repeat

    with _stages() as report:
        found = repeat(run_id, folder, store, report)
    for note in found.differing:
        out.print(f"differs: {note}", markup=False)
    for name in found.missing:
        out.print(f"only one of the two runs has {name}", markup=False)
    for name, (before, after) in found.pairs.items():
        if abs(before - after) > TOLERANCE:
            out.print(f"{name}: {before:.6f} before, {after:.6f} now", markup=False)
    out.print(f"{len(found.pairs)} metrics, the largest difference is {found.worst:.1e}", highlight=False)
    if not found.same:
        raise typer.Exit(1)


@experiments_app.command("sync")
def experiments_sync(
    folder: Annotated[Path, typer.Argument(help="The folder of a run, or one with runs below it.")],
    store: Store = None,
) -> None:
    """Send to the tracking server what it did not get while runs went on. Exit code 1 if something still waits.

    Example: shopvl experiments sync runs
    """
    from shopvl.tracking import continued, runs_below

    folders = runs_below(folder)
    if not folders:
        raise ShopvlError(f"there is no tracked run in {folder} or below it; name the folder of `--out`")
    left = 0
    for place in folders:
        sent, waiting = continued(place, store)
        left += waiting
        out.print(f"{place}: {sent} entries sent, {waiting} wait", markup=False, highlight=False)
    if left:
        raise typer.Exit(1)


@experiments_app.command("gate")
def experiments_gate(
    new: Annotated[str, typer.Argument(help="The model that is to be champion: a folder, or models:/ or runs:/.")],
    champion: Annotated[str, typer.Argument(help="The model that is: a folder, or models:/NAME@champion.")],
    catalog: CatalogPath,
    folder: OutFolder,
    split: Split = "test",
    protect: Protect = None,
) -> None:
    """What changes by category and property if a model replaces another. Exit code 1 where a protected one drops.

    Example: shopvl experiments gate runs/tagger-2 models:/shop@champion products.parquet --out gate --protect colour
    """
    from shopvl.design.design import Design
    from shopvl.runs.gate import gate

    opened = _opened(catalog, split)
    with _progress("looking", 2 * opened.count()) as report:
        found = gate(
            Design.from_pretrained(new),
            Design.from_pretrained(champion),
            opened,
            folder,
            protected=protect or (),
            report=report,
        )
    _print_verdicts(found, folder)
    if not found.passed:
        raise typer.Exit(1)


def _print_verdicts(found: Verdicts, folder: Path) -> None:
    table = Table("property", "products", "champion", "new", "change, 95%", "mended", "broken")
    for c in found.changes:
        figures = f"{c.champion:.3f}", f"{c.new:.3f}", f"{c.low:+.3f} to {c.high:+.3f}"
        table.add_row(c.name, str(c.rows), *figures, str(c.mended), str(c.broken))
    out.print(table)
    for refusal in found.refusals:
        out.print(f"refused: {refusal}", markup=False, highlight=False)
    out.print(f"{'passed' if found.passed else 'refused'}: {folder / 'gate.html'}", markup=False, highlight=False)


@experiments_app.command("promote")
def experiments_promote(
    new: Annotated[str, typer.Argument(help="A model folder, runs:/RUN_ID/model, or models:/NAME/VERSION.")],
    name: Annotated[str, typer.Argument(help="The registered model whose champion it is to be.")],
    catalog: CatalogPath,
    folder: OutFolder,
    split: Split = "test",
    protect: Protect = None,
    store: Store = None,
) -> None:
    """Through the gate, then @champion is this model. Exit code 1 and no change where the gate refuses.

    Example: shopvl experiments promote runs:/RUN_ID/model shop products.parquet --out gate
    """
    from shopvl.runs.releasing import promote
    from shopvl.tracking.registry import Registry

    opened = _opened(catalog, split)
    registry = Registry(name, store)
    with _progress("looking", 2 * opened.count()) as report:
        version, found = promote(new, registry, opened, folder, protected=protect or (), report=report)
    if found is not None:
        _print_verdicts(found, folder)
    if version is None:
        raise typer.Exit(1)
    out.print(f"models:/{name}@champion is now version {version}", highlight=False)


@experiments_app.command("rollback")
def experiments_rollback(name: Annotated[str, typer.Argument(help="A registered model.")], store: Store = None) -> None:
    """The champion before this one is champion again.

    Example: shopvl experiments rollback shop
    """
    from shopvl.tracking.registry import Registry

    gone, back = Registry(name, store).rollback()
    out.print(f"models:/{name}@champion is version {back} again, no longer {gone}", highlight=False)


# --- learning


@app.command()
def pretrain(
    experiment: Annotated[Path | None, typer.Argument(help="YAML file; or use the options below.")] = None,
    folder: Annotated[
        Path, typer.Option("--out", help="Folder of the run; a run there goes on.", file_okay=False)
    ] = Path("runs/pretrain"),
    recipe: Annotated[str, typer.Option(help="A recipe's name, where there is no file.")] = "tri-clip",
    size: Annotated[str, typer.Option(help="tiny, mini or base.")] = "mini",
    data: Annotated[str | None, typer.Option(help="A catalog, where there is no file.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Training time, instead of the file's.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
) -> None:
    """Stage 1: train a design on a catalog. A run that was stopped goes on where it was.

    Example: shopvl pretrain experiments/tri-clip-mini.yaml --out runs/tri-clip
    """
    from dataclasses import replace

    import torch

    from shopvl.data.training_rows import TrainingCache
    from shopvl.training.experiment import Experiment, read_experiment
    from shopvl.training.pretraining import DESIGN, ROWS, pretrain

    if threads is not None:
        torch.set_num_threads(threads)
    if experiment is not None:
        told = read_experiment(experiment)
        if minutes is not None:
            told = replace(told, minutes=minutes, epochs=None)
    elif data is None:
        raise ShopvlError("pretrain wants an experiment file, or --data with a catalog; neither came")
    else:
        values: dict[str, Any] = {"name": folder.name, "recipe": recipe, "size": size, "catalog": data}
        values |= {"minutes": minutes or 20}
        told = Experiment.from_dict(values)
        _say_unused(_opened(data, told.split))
    with _stages() as report:
        design = pretrain(told, folder, report)
    _say_rejects(TrainingCache(folder / ROWS).rejects())
    out.print(f"{folder / DESIGN}: {design.name}, {design.parameter_count() / 1e6:.2f} M parameters")


@app.command()
def tune(
    model: Annotated[Path, typer.Argument(help="A pretrained model folder, or an experiment file with a start.")],
    catalog: Annotated[str | None, typer.Argument(help="The catalog, where the first is a model folder.")] = None,
    folder: OutFolder = ...,  # type: ignore[assignment]
    split: Split = "train",
    calibrate_on: Annotated[str | None, typer.Option(help="Split to calibrate on; empty: none.")] = "val",
    recipe: Annotated[
        str | None,
        typer.Option(
            help="linear: heads on the frozen model; or prompt-mask, prompt-decode. Left out: the model's own where it "
            "answers prompts, else linear."
        ),
    ] = None,
    size: Annotated[str, typer.Option(help="Of the recipe; its towers must be the model's.")] = "mini",
    adapt: Annotated[str, typer.Option(help="Prompted recipes: full, or lora for low-rank additions.")] = "full",
    minutes: Annotated[float | None, typer.Option(help="Prompted recipes: training time.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    corrections: Annotated[
        Path | None, typer.Option(help="Decisions of reviewers to learn from: what `shopvl review import` wrote.")
    ] = None,
) -> None:
    """Stage 2: learn to answer for category and every property, and calibrate the answers.

    Example: shopvl tune runs/tri-clip/design products.parquet --recipe prompt-mask --minutes 20 --out runs/answers
    """
    from dataclasses import replace

    import torch

    from shopvl.catalog.readers import open_catalog
    from shopvl.data.training_rows import TrainingCache
    from shopvl.design.design import Design
    from shopvl.evaluation.model_card import model_card
    from shopvl.inference.calibrate import calibrate as measure_trust
    from shopvl.training.experiment import Experiment, read_experiment
    from shopvl.training.pretraining import ROWS, pretrain
    from shopvl.training.tuning import fit_heads

    if threads is not None:
        torch.set_num_threads(threads)
    experiment = None
    if model.suffix in (".yaml", ".yml"):
        experiment = read_experiment(model)
        if experiment.start is None:
            raise ShopvlError(f"{model} has no start; name the pretrained model folder that tuning begins with")
        if minutes is not None:
            experiment = replace(experiment, minutes=minutes, epochs=None)
        if corrections is not None:
            experiment = replace(experiment, corrections=str(corrections))
        catalog, corrections = str(experiment.catalog_path()), experiment.path_of("corrections")
    elif catalog is None:
        raise ShopvlError("tune wants a model folder and a catalog, or an experiment file; only a folder came")
    elif recipe != "linear":
        values: dict[str, Any] = {"name": folder.name, "catalog": catalog, "split": split or None}
        values |= {"minutes": minutes or 20, "start": str(model), "adapt": adapt}
        values |= {"corrections": None if corrections is None else str(corrections)}
        if recipe is not None:
            experiment = Experiment.from_dict({**values, "recipe": recipe, "size": size})
        elif (own := Design.from_pretrained(model).recipe).answering is not None:
            experiment = Experiment.of_recipe(own.without_teachers(), **values)
    learned = _opened(catalog, split if experiment is None else experiment.split)
    _say_unused(learned)
    with _stages() as report:
        if experiment is None:
            design = Design.from_pretrained(model)
            rejects = fit_heads(design, _corrected(learned, corrections), report)
        else:
            design = pretrain(experiment, folder / "run", report)
            rejects = TrainingCache(folder / "run" / ROWS).rejects()
        if calibrate_on:
            held_out = _corrected(open_catalog(catalog, split=calibrate_on), corrections, needed=False)
            measure_trust(design, held_out, lambda s, share: report("measure", share))
    design.save(folder, model_card(design))
    _say_rejects(rejects)
    out.print(f"{folder}: {design.name}, answers for {', '.join(design.labels)}")


def _corrected(opened: Catalog, corrections: Path | None, *, needed: bool = True) -> Catalog:
    """The catalog with the corrections, if any are given, laid over it; says how many there were if they are needed."""
    from shopvl.catalog.corrections import with_corrections

    if corrections is None:
        return opened
    laid = with_corrections(opened, corrections, needed=needed)
    if needed:
        of = f"{laid.applied()} of {len(laid.corrections)} corrections"
        chatter.print(f"{corrections}: {of} are about products of {laid.place}", highlight=False, soft_wrap=True)
    return laid


@app.command()
def adapt(
    catalog: CatalogPath,
    folder: OutFolder,
    model: ModelFolder = SHIPPED,
    minutes: Annotated[float, typer.Option(min=0.01, help="Training time.")] = 20,
    names: Annotated[Path | None, typer.Option(help="JSON with names in other languages and synonyms.")] = None,
    seed: int = 0,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
) -> None:
    """Make a model a catalog's own: learn its categories and properties, calibrate, and say what can be answered.

    A catalog without splits is split by title: 80% to learn from, 10% to calibrate on, 10% to test on.

    Example: shopvl adapt products.csv --model runs/answers --minutes 20 --out runs/mine
    """
    import torch

    from shopvl.adapt import RUN, SCORES
    from shopvl.adapt import adapt as adapt_model
    from shopvl.data.training_rows import TrainingCache
    from shopvl.training.pretraining import ROWS

    if threads is not None:
        torch.set_num_threads(threads)
    _say_unused(_opened(catalog, "train"))
    with _stages() as report:
        abilities = adapt_model(catalog, model, folder, minutes=minutes, names=names, seed=seed, report=report)
    table = Table("property", "test products", "accuracy", "accepted", "right of these", "")
    for one in abilities:
        right = "" if one.precision is None else f"{one.precision:.1%}"
        table.add_row(one.name, f"{one.rows:,}", f"{one.accuracy:.1%}", f"{one.accepted:.1%}", right, one.grade)
    out.print(table)
    meaning = {
        "answers": "answered for most products without a look",
        "suggests": "suggested, for a person to decide",
        "cannot": "cannot be answered; more labelled products may change that",
    }
    for grade, meant in meaning.items():
        graded = [one.name for one in abilities if one.grade == grade]
        if graded:
            out.print(f"{meant}: {', '.join(graded)}", markup=False, highlight=False)
    if unproven := [f"{one.name} {one.shown:.0%}" for one in abilities if 0 < one.shown < PRECISION]:
        out.print(
            f"never accepted at --precision {PRECISION}, as the products to calibrate on show less at best: "
            f"{', '.join(unproven)}; more labelled products raise that, and `tag --precision` may ask for less",
            markup=False,
            highlight=False,
        )
    if unmeasured := [one.name for one in abilities if not one.shown]:
        told = f"never accepted, as too few products to calibrate on have them: {', '.join(unmeasured)}"
        out.print(told, markup=False, highlight=False)
    _say_rejects(TrainingCache(folder / RUN / ROWS).rejects())
    out.print(f"{folder / SCORES / 'report.html'}\nshopvl tag {catalog} --model {folder} --out tags", highlight=False)


@app.command()
def calibrate(
    model: Annotated[Path, typer.Argument(help="A tuned shopvl model folder.")],
    catalog: CatalogPath,
    split: Split = "val",
    ocr: Ocr = False,
) -> None:
    """Measure on held-out rows how far each answer can be trusted, and keep that in the model folder.

    Example: shopvl calibrate runs/tagger products.parquet --split val
    """
    from shopvl.design.design import Design
    from shopvl.evaluation.model_card import model_card
    from shopvl.inference.calibrate import calibrate as measure_trust

    design = _reading(Design.from_pretrained(model), ocr)
    with _stages() as report:
        measure_trust(design, _opened(catalog, split), report)
    design.save(model, model_card(design))
    table = Table("inputs", "property", "rows", "accuracy", "ECE", "temperature")
    for inputs, properties in design.calibration.items():
        for name, t in properties.items():
            figures = (f"{t[key]:.3f}" for key in ("accuracy", "ece", "temperature"))
            table.add_row(inputs, name, str(t["rows"]), *figures)
    out.print(table)


# --- using a model


@app.command()
def tag(
    catalog: CatalogPath,
    folder: OutFolder,
    model: ModelFolder = SHIPPED,
    use: Annotated[str, typer.Option(help="Inputs: image,title or one of them, if there is no other.")] = "image,title",
    precision: Annotated[float, typer.Option(min=0.5, max=1.0, help="Of accepted answers.")] = PRECISION,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first rows.")] = None,
    split: Split = None,
    zero_shot: Annotated[bool, typer.Option(help="Compare with value names instead of using heads.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per CPU core if left out.")] = None,
    engine: Annotated[str, typer.Option(help="local, or ray: the same work through Ray Data, on a cluster.")] = "local",
    bfloat16: Annotated[
        bool | None,
        typer.Option("--bfloat16/--float32", help="Half the bits; chosen where the machine is faster in it."),
    ] = None,
    ocr: Ocr = False,
) -> None:
    """Category and attributes for every product: DIR/tags.parquet, and DIR/rejects.parquet for what could not be read.

    A run that was stopped goes on where it was, and a run over a changed catalog computes only what is new.

    A table of titles alone is tagged with --use title, one of pictures alone with --use image.

    With --ocr, DIR/notes.parquet names the products in whose pictures OCR could not read, and why.

    Example: shopvl tag products.csv --model runs/tagger --out tags --precision 0.95
    """
    from shopvl.design.design import Design
    from shopvl.runtime.bfloat16 import bf16_is_fast
    from shopvl.tagging.page import write_run_page
    from shopvl.tagging.run import engine_named, workers_for
    from shopvl.tagging.run import tag as tag_catalog

    inputs = _inputs(use)
    opened = _opened(catalog, split, required=("product_id", *inputs))
    design = _reading(Design.from_pretrained(model), ocr)
    total = opened.count() if limit is None else min(limit, opened.count())
    with _progress("tagging", total) as report:
        done = tag_catalog(
            design,
            opened,
            folder,
            use=inputs,
            precision=precision,
            limit=limit,
            zero_shot=zero_shot,
            report=report,
            workers=workers or workers_for(total),
            engine=engine_named(engine),
            bfloat16=bf16_is_fast() if bfloat16 is None else bfloat16,
        )
    page = write_run_page(done, folder, design.name, opened)
    table = Table("property", "accept", "review", "unknown")
    for name, counts in done.decisions.items():
        table.add_row(name, *(str(counts[decision]) for decision in ("accept", "review", "unknown")))
    out.print(table)
    out.print(f"{done.rows} rows in = {done.tagged} tagged + {done.rejected} rejected; {done.conflicts} conflicts")
    out.print(f"{done.reused} rows were known, {done.computed} computed: {done.speed_line()}", highlight=False)
    for reason, count in done.reasons.most_common(SHOWN_REASONS):
        out.print(f"  {count} rejected: {reason}", markup=False, highlight=False)
    if done.rejected:
        again = shlex.join(["shopvl", *sys.argv[1:]])
        out.print(f"to retry the rejected rows, and only those: {again}", markup=False, highlight=False)
    if done.noted:
        out.print(f"{done.noted} pictures could not be read for words; {folder / 'notes.parquet'} says why")
    out.print(f"{folder / 'tags.parquet'}\n{page}")


@app.command()
def export(
    tags: Annotated[Path, typer.Argument(help="The folder that `shopvl tag` wrote.")],
    target: Annotated[Path, typer.Option("--out", help="A .csv, .tsv, .parquet or .jsonl file.", dir_okay=False)],
    form: Annotated[
        str | None, typer.Option("--format", help="wide, google or jsonl; by the file's name if left out.")
    ] = None,
    catalog: Annotated[str | None, typer.Option(help="The catalog: titles and pictures for a feed.")] = None,
    decisions: Annotated[str, typer.Option(help="Answers to write: accept, or accept,review.")] = "accept",
    require: Annotated[list[str] | None, typer.Option(help="An attribute that must be filled, repeatable.")] = None,
) -> None:
    """Tags as a table with a column per property, a Google product feed, or JSON lines; and how full each column is.

    Example: shopvl export tags --format google --catalog products.csv --out feed.tsv
    """
    from shopvl.tagging.export import export_tags, form_named

    opened = None if catalog is None else _opened(catalog)
    with _progress("writing", None) as report:
        done = export_tags(
            tags,
            target,
            form=form_named(form or ("jsonl" if target.suffix.lower() == ".jsonl" else "wide")),
            catalog=opened,
            decisions=decisions,
            require=require or (),
            report=report,
        )
    table = Table("attribute", "filled", "share", "")
    for name, filled in done.filled.items():
        needed = "required" if name in done.required else ""
        table.add_row(Text(name), str(filled), f"{filled / max(done.products, 1):.1%}", needed)
    out.print(table)
    out.print(f"{target}: {done.products} products; {done.complete} have every required attribute")


@review_app.command("export")
def review_export(
    tags: Annotated[Path, typer.Argument(help="The folder that `shopvl tag` wrote.")],
    catalog: CatalogPath,
    target: Annotated[Path, typer.Option("--out", help="Sheet to write: .xlsx with pictures and drop-downs, or .csv.")],
    model: ModelFolder = SHIPPED,
    limit: Annotated[int, typer.Option(min=1, help="At most so many questions, the most useful ones.")] = 500,
) -> None:
    """Answers that a person should look at, as a sheet: conflicts first, then the least certain ones.

    Example: shopvl review export tags products.csv --model runs/tagger --out review.xlsx
    """
    from shopvl.design.design import Design
    from shopvl.review.queue import export_review

    opened = _opened(catalog, required=("product_id",))
    ontology = Design.from_pretrained(model).ontology
    with _progress("looking up products", None) as report:
        done = export_review(tags, opened, ontology, target, limit=limit, report=report)
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
) -> None:
    """Check a sheet that was filled in and add its decisions to the corrections; a later one replaces an earlier one.

    Rows with faults are listed, and kept beside the corrections as a sheet to be mended and imported. Exit code 1 if
    there are any.

    Example: shopvl review import review.xlsx --model runs/tagger --out corrections.parquet
    """
    from shopvl.design.design import Design
    from shopvl.review.queue import import_review

    done = import_review(sheet, Design.from_pretrained(model).ontology, target)
    if done.faults:
        table = Table("row", "why it was not taken")
        for fault in done.faults:
            table.add_row(str(fault.row), Text(fault.reason))  # not markup: it quotes what somebody typed
        out.print(table)
    out.print(
        f"{done.rows} rows in = {done.taken} taken ({done.changed} change the answer, the others confirm it) + "
        f"{done.empty} left empty + {len(done.faults)} rejected"
    )
    if done.taken:
        out.print(
            f"{target}: {done.corrections} corrections; learn from them with `shopvl tune --corrections {target}`"
        )
    if done.faults:
        out.print(f"{done.rejects}: the rejected rows; mend them there and import that file")
        raise typer.Exit(1)


@app.command()
def ask(
    image: Annotated[str, typer.Argument(help="A picture file, or - for none.")],
    question: Annotated[str, typer.Argument(help="In English or Chinese: what colour is it?")],
    model: ModelFolder = SHIPPED,
    title: Annotated[str | None, typer.Option(help="The product's title.")] = None,
    precision: Annotated[float, typer.Option(min=0.5, max=1.0, help="Of accepted answers.")] = PRECISION,
    as_json: AsJson = False,
    ocr: Ocr = False,
) -> None:
    """Ask about one product; the answer comes with its probability, a decision, and what it rests on.

    Example: shopvl ask shirt.jpg "what colour is it?" --title "Linen shirt" --model runs/answers
    """
    from shopvl.design.design import Design
    from shopvl.inference.ask import ask as ask_design
    from shopvl.inference.ask import sentence

    path = None if image == "-" else Path(image)
    if path is not None and not path.is_file():
        raise ShopvlError(f"there is no picture {image}; name a JPEG, PNG or WebP file, or - for none")
    picture = None if path is None else path.read_bytes()
    replies = ask_design(_reading(Design.from_pretrained(model), ocr), question, picture, title, precision)
    if as_json:
        print(json.dumps([reply.as_dict() for reply in replies], ensure_ascii=False, indent=1))
        return
    for reply in replies:
        out.print(sentence(reply), markup=False, highlight=False)
        others = ", ".join(f"{value} {share:.0%}" for value, share in reply.alternatives)
        rests = " and ".join(reply.evidence) or "nothing"
        conflict = "; picture and title disagree" if reply.conflict else ""
        out.print(f"  rests on {rests}{conflict}" + (f"; else {others}" if others else ""), markup=False, style="dim")


@app.command()
def embed(
    catalog: CatalogPath, folder: OutFolder, model: ModelFolder = SHIPPED, split: Split = None, ocr: Ocr = False
) -> None:
    """Pictures and titles as vectors: DIR/embeddings.parquet, and DIR/rejects.parquet.

    Example: shopvl embed products.parquet --model runs/tri-clip/design --out vectors
    """
    from shopvl.design.design import Design
    from shopvl.inference.embed import embed as embed_catalog

    opened = _opened(catalog, split)
    design = _reading(Design.from_pretrained(model), ocr)
    with _progress("embedding", opened.count()) as report:
        embedded, rejected = embed_catalog(design, opened, folder, report=report)
    out.print(f"{folder / 'embeddings.parquet'}: {embedded} products embedded, {rejected} rejected")


@app.command()
def index(
    catalog: Annotated[str | None, typer.Argument(help="CSV, JSONL or Parquet table, or a folder of pictures.")] = None,
    model: ModelFolder = SHIPPED,
    folder: OutFolder = ...,  # type: ignore[assignment]
    split: Split = None,
    calibrate_on: Annotated[
        str | None, typer.Option(help="Split to choose title share, weights and cut-off on; empty: none.")
    ] = None,
    tags: Annotated[
        Path | None, typer.Option(help="A folder written by `shopvl tag`: its tags become filters.")
    ] = None,
    names: Annotated[Path | None, typer.Option(help="JSON with names in other languages, and synonyms.")] = None,
    update: Annotated[bool, typer.Option("--update", help="Add to the index that is there, or replace by id.")] = False,
    delete: Annotated[Path | None, typer.Option(help="With --update: a file of product ids, one a line.")] = None,
    kind: Annotated[str | None, typer.Option(help="flat, hnsw, ivf-sq8 or pq; chosen by size if left out.")] = None,
    memory_mb: Annotated[int | None, typer.Option(min=1, help="Memory that vectors may take.")] = None,
    milvus: Annotated[str | None, typer.Option(help="Keep vectors in Milvus: a server's URI, or a .db file.")] = None,
    ocr: Ocr = False,
) -> None:
    """Embed a catalog and write a search index, or change one: add, replace and delete products, attach tags.

    Example: shopvl index products.parquet --model runs/tri-clip/design --out index --tags tags
    """
    from shopvl.catalog.ontology import apply_names
    from shopvl.design.design import Design
    from shopvl.search import Milvus, Plan, Settings, build_index, kind_named, read_ids, update_index
    from shopvl.search.segments import OWN
    from shopvl.search.tune import choose

    if not update and (catalog is None or delete is not None):
        raise ShopvlError("index wants a catalog to make an index of, or --update to change the one in --out")
    if update and any(option is not None for option in (calibrate_on, names, kind, memory_mb, milvus)):
        raise ShopvlError("--update keeps how the index was made; make it anew to change kind, names or settings")
    if update and catalog is None and delete is None and tags is None:
        raise ShopvlError("--update wants a catalog to add, --delete with ids, or --tags; none of them came")
    opened = None if catalog is None else _opened(catalog, split)
    if opened is not None and (taken := OWN.intersection(opened.plan.further)):
        told = f"columns that no condition can use, as the index has its own of that name: {', '.join(sorted(taken))}"
        chatter.print(told, markup=False, highlight=False, soft_wrap=True)
    design = None if catalog is None else _reading(Design.from_pretrained(model), ocr)
    total = 0 if opened is None else opened.count()
    if update:
        with _progress("updating", total) as report:
            done = update_index(design, opened, folder, report, delete=read_ids(delete) if delete else (), tags=tags)
        out.print(
            f"{folder}: {done.indexed} products indexed, {done.replaced} of them in place of old ones, "
            f"{done.deleted} deleted, {done.rejected} rejected"
        )
        _say_repeated(done.repeated)
        if done.unknown:
            few = ", ".join(done.unknown[:3])
            out.print(f"{len(done.unknown)} ids to delete are not in the index: {few}", markup=False, highlight=False)
        return
    assert opened is not None
    assert design is not None
    ontology = apply_names(design.ontology, names) if names else design.ontology
    settings = Settings()
    if calibrate_on:
        with _progress("choosing", None) as report:
            held_out = _opened(str(catalog), calibrate_on)
            settings = choose(design, held_out, tags=tags, ontology=ontology, report=report)
    place = None if milvus is None else Milvus(uri=milvus, collection=_collection(folder))
    plan = Plan(settings=settings, kind=kind_named(kind), budget_mb=memory_mb, milvus=place)
    with _progress("indexing", total) as report:
        done = build_index(design, opened, folder, report, tags=tags, plan=plan, ontology=ontology)
    out.print(f"{folder}: {done.indexed} products indexed, {done.rejected} rejected")
    _say_repeated(done.repeated)
    if not calibrate_on:
        chatter.print("no query will be refused, as nothing was measured; --calibrate-on val chooses a cut-off")


def _say_repeated(rows: int) -> None:
    if rows:
        chatter.print(f"{rows} rows have an id that comes again further down: the last row of an id counts")


def _collection(folder: Path) -> str:
    """A folder's name as Milvus allows names."""
    return "shopvl_" + "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in folder.name)


@app.command()
def search(
    index: Annotated[Path, typer.Argument(help="An index folder.")],
    words: Annotated[str | None, typer.Argument(help="What to look for.")] = None,
    model: ModelFolder = SHIPPED,
    image: Annotated[Path | None, typer.Option(help='A picture to look for; with words: "like this, but".')] = None,
    where: Annotated[list[str] | None, typer.Option(help="PROPERTY=VALUE or PROPERTY<NUMBER, repeatable.")] = None,
    facet: Annotated[list[str] | None, typer.Option(help="Count a property's values, repeatable.")] = None,
    by: Annotated[str, typer.Option(help="hybrid, dense or lexical.")] = "hybrid",
    collapse: Annotated[str | None, typer.Option(help="photo or variant: the best of each group only.")] = None,
    rerank: Annotated[Path | None, typer.Option(help="A model of the recipe vilt that has a say in the order.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show the nearest even if nothing answers.")] = False,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many results.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Find products by words, picture, or both; with filters and counts, and nothing where nothing fits.

    Example: shopvl search index "red running shoes" --model runs/tri-clip/design --where colour=Red --facet gender
    """
    from shopvl.design.design import Design
    from shopvl.search import SearchIndex, collapse_named, conditions, way_named

    if image is not None and not image.is_file():
        raise ShopvlError(f"there is no picture {image}; name a JPEG, PNG or WebP file")
    found = SearchIndex(index, Design.from_pretrained(model)).search(
        words,
        image.read_bytes() if image else None,
        where=conditions(where or ()),
        k=k,
        by=way_named(by),
        collapse=collapse_named(collapse),
        facets=facet or (),
        cut_off=not everything,
        matcher=Design.from_pretrained(rerank) if rerank else None,
    )
    if as_json:
        print(json.dumps(found.as_dict(), ensure_ascii=False, indent=1))
        return
    table = Table("", "score", "product", "title", "category", "attributes")
    for place, hit in enumerate(found, 1):
        attributes = ", ".join(f"{name}: {value}" for name, value in hit.attributes)
        shown = (hit.product_id, hit.title, " > ".join(hit.category_path), attributes)
        table.add_row(str(place), f"{hit.score:.3f}", *map(Text, shown))  # not markup: sellers write [new]
    if found.hits:
        out.print(table)
    else:
        out.print("nothing found" + ("; --all shows the nearest products" if found.refused else ""))
    for name, counts in found.facets.items():
        told = ", ".join(f"{value} ({count})" for value, count in counts)
        out.print(f"{name}: {told}", markup=False, highlight=False)


@app.command("search-audit")
def search_audit(
    index: Annotated[Path, typer.Argument(help="An index folder.")],
    queries: Annotated[Path, typer.Argument(help="CSV or other table with a column `query`, and maybe `count`.")],
    folder: OutFolder,
    model: ModelFolder = SHIPPED,
) -> None:
    """Which queries find nothing or little, and what would mend each: DIR/audit.csv and DIR/audit.html.

    Example: shopvl search-audit index queries.csv --model runs/tri-clip/design --out audit
    """
    from shopvl.design.design import Design
    from shopvl.search import SearchIndex
    from shopvl.search.audit import audit, read_queries

    asked = read_queries(queries)
    opened = SearchIndex(index, Design.from_pretrained(model))
    with _progress("asking", len(asked)) as report:
        done = audit(opened, asked, folder, report)
    table = Table("verdict", "queries", "asked")
    for verdict, (count, times) in done.items():
        table.add_row(verdict, str(count), str(times))
    out.print(table)
    out.print(f"{folder / 'audit.csv'}\n{folder / 'audit.html'}")


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A shopvl model folder.")],
    catalog: CatalogPath,
    folder: OutFolder,
    split: Split = "test",
    seed: int = 0,
    ocr: Ocr = False,
) -> None:
    """Measure a model: retrieval in both protocols, category by level, every property; metrics.json and report.html.

    Example: shopvl evaluate runs/tagger products.parquet --split test --out runs/tagger-test
    """
    from shopvl.design.design import Design
    from shopvl.evaluation.page import evaluate as write_evaluation

    opened = _opened(catalog, split)
    design = _reading(Design.from_pretrained(model), ocr)
    with _progress("looking", opened.count()) as report:
        page = write_evaluation(design, opened, folder, seed=seed, report=report)
    out.print(f"{folder / 'metrics.json'}\n{page}")


if __name__ == "__main__":
    main()
