"""Commands that run experiments, compare them and release models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from shopvl.cli.console import chatter, out, progress, stages
from shopvl.cli.options import CatalogPath, OutFolder, Split, Threads, open_split, use_threads
from shopvl.errors import ShopvlError

if TYPE_CHECKING:
    from shopvl.runs.gate import Verdicts


experiments_app = typer.Typer(no_args_is_help=True, help="Runs: many at once, compared, repeated, promoted.")
Store = Annotated[
    str | None, typer.Option(help="MLflow store; else $MLFLOW_TRACKING_URI, else a local one in the folder runs.")
]
Protect = Annotated[
    list[str] | None, typer.Option(help="A property that must not drop, repeatable; else all of the champion's.")
]
SHOWN_FIGURES = 7  # of a leaderboard, as many as fit a terminal; the files have them all


@experiments_app.command("list")
def experiments_list(store: Store = None) -> None:
    """Experiment and grid files that ship with shopvl.

    And the experiments of a tracking store, if one is named.

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
            out.print(f"{store}: {name}")


@experiments_app.command("run")
def experiments_run(
    grid: Annotated[Path, typer.Argument(help="YAML: an experiment, maybe with a grid of values and seeds.")],
    folder: OutFolder,
    store: Store = None,
    threads: Threads = None,
) -> None:
    """Train, tune, calibrate and evaluate every run of a grid.

    What is done is left, what was stopped goes on.

    Started several times at once, the processes share the runs out.

    Example: shopvl experiments run experiments/grids/shop-small.yaml --out runs/shop-small
    """
    from shopvl.runs.grid import read_cells
    from shopvl.runs.running import run_grid

    use_threads(threads)
    cells = read_cells(grid)
    for number, cell in enumerate(cells, 1):
        chatter.print(f"{number} of {len(cells)}: {cell.name}", highlight=False)
        with stages() as report:
            (outcome,) = run_grid([cell], folder, store, report)
        score = "" if outcome.score is None else f", score {outcome.score:.3f}"
        out.print(f"{cell.name}: {outcome.state}{score}", highlight=False)
    out.print(f"Look at them: shopvl experiments compare {cells[0].experiment.name} --out {folder}")


@experiments_app.command("compare")
def experiments_compare(
    name: Annotated[str, typer.Argument(help="An experiment's name: that of its file.")],
    folder: OutFolder,
    store: Store = None,
    result: Annotated[
        Path | None,
        typer.Option(help="Also as JSON in this file, with how it was made. Runs in it that the store lacks stay."),
    ] = None,
) -> None:
    """Tracked runs side by side.

    A table here, LEADERBOARD.md, and leaderboard.html with plots.

    Example: shopvl experiments compare shop-small --out runs/shop-small
    """
    from shopvl.runs.kept import read_kept
    from shopvl.runs.leaderboard import Leaderboard

    board = Leaderboard.read(name, store, [] if result is None else read_kept(result, name))
    headers, rows = board.rows()
    table = Table(*headers[:SHOWN_FIGURES], box=SIMPLE_HEAD)
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(*row[:SHOWN_FIGURES])
    out.print(table)
    for path in board.write(folder):
        out.print(str(path))
    if result is not None:
        board.write_result(result)
        out.print(str(result))


@experiments_app.command("repeat")
def experiments_repeat(run_id: str, folder: OutFolder, store: Store = None) -> None:
    """Run a tracked run once more, and compare.

    From its logged parameters alone. Exit code 1 where a metric differs.

    Example: shopvl experiments repeat 0123456789abcdef0123456789abcdef --out runs/again
    """
    from shopvl.runs.running import TOLERANCE, repeat

    with stages() as report:
        comparison = repeat(run_id, folder, store, report)
    for note in comparison.differing:
        out.print(f"differs: {note}")
    for name in comparison.missing:
        out.print(f"only one of the two runs has {name}")
    for name, (before, after) in comparison.pairs.items():
        if abs(before - after) > TOLERANCE:
            out.print(f"{name}: {before:.6f} before, {after:.6f} now")
    out.print(f"{len(comparison.pairs)} metrics, the largest difference is {comparison.worst:.1e}", highlight=False)
    if not comparison.same:
        raise typer.Exit(1)


@experiments_app.command("sync")
def experiments_sync(
    folder: Annotated[Path, typer.Argument(help="The folder of a run, or one with runs below it.")],
    store: Store = None,
) -> None:
    """Send a tracking server what it did not get.

    Exit code 1 if something still waits.

    Example: shopvl experiments sync runs
    """
    from shopvl.tracking import continued, runs_below

    folders = runs_below(folder)
    if not folders:
        raise ShopvlError(f"there is no tracked run in {folder} or below it; name the folder of `--out`")
    left = 0
    for run_folder in folders:
        sent, waiting = continued(run_folder, store)
        left += waiting
        out.print(f"{run_folder}: {sent} entries sent, {waiting} wait", highlight=False)
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
    """What changes if a model replaces another.

    By category and property. Exit code 1 where a protected one drops.

    Example: shopvl experiments gate runs/tagger-2 models:/shop@champion products.parquet --out gate --protect colour
    """
    from shopvl.design.design import Design
    from shopvl.files import exclusive_lock
    from shopvl.runs.gate import gate

    opened = open_split(catalog, split)
    with exclusive_lock(folder, f"writing into {folder}"), progress("looking", 2 * opened.count()) as report:
        verdicts = gate(
            Design.from_pretrained(new),
            Design.from_pretrained(champion),
            opened,
            folder,
            protected=protect or (),
            report=report,
        )
    _print_verdicts(verdicts, folder)
    if not verdicts.passed:
        raise typer.Exit(1)


def _print_verdicts(verdicts: Verdicts, folder: Path) -> None:
    table = Table("property", "products", "champion", "new", "change, 95%", "mended", "broken")
    for c in verdicts.changes:
        figures = f"{c.champion:.3f}", f"{c.new:.3f}", f"{c.low:+.3f} to {c.high:+.3f}"
        table.add_row(c.name, str(c.rows), *figures, str(c.mended), str(c.broken))
    out.print(table)
    for refusal in verdicts.refusals:
        out.print(f"refused: {refusal}", highlight=False)
    out.print(f"{'passed' if verdicts.passed else 'refused'}: {folder / 'gate.html'}", highlight=False)


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
    """Make a model the champion, if the gate lets it through.

    Exit code 1 and no change where the gate refuses.

    Example: shopvl experiments promote runs:/RUN_ID/model shop products.parquet --out gate
    """
    from shopvl.runs.releasing import promote
    from shopvl.tracking.registry import Registry

    opened = open_split(catalog, split)
    registry = Registry(name, store)
    with progress("looking", 2 * opened.count()) as report:
        version, verdicts = promote(new, registry, opened, folder, protected=protect or (), report=report)
    if verdicts is not None:
        _print_verdicts(verdicts, folder)
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
