"""Commands that show the whole: the demo and the app."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from shopvl.cli.console import chatter, out, stages
from shopvl.cli.options import DeviceName, OutFolder
from shopvl.errors import ShopvlError
from shopvl.paths import SHIPPED

DEMO_PRODUCTS, DEMO_MINUTES = 2000, 1.0


def demo(
    out_folder: OutFolder = Path("demo"),
    products: Annotated[int, typer.Option(help="Size of the synthetic shop.")] = DEMO_PRODUCTS,
    minutes: Annotated[float, typer.Option(help="Training time.")] = DEMO_MINUTES,
    seed: int = 0,
) -> None:
    """The whole job on a drawn shop, with a report to look at.

    Asks the bundled model, adapts it to the shop, tags, indexes and searches.

    Example: shopvl demo --out demo
    """
    from shopvl.demo import first_answers, run_demo

    for line in first_answers(out_folder, seed):
        out.print(line, highlight=False)
    out.print("That was the bundled model, which knows fashion and beauty. Now it learns what this shop sells.\n")
    with stages() as report:
        page = run_demo(out_folder, products=products, minutes=minutes, seed=seed, report=report)
    out.print(f"\nLook at {page}: the tags, the search results and the scores, with pictures.")
    out.print(f"Then try:  shopvl search {out_folder}/index 'red summer dress' --model {out_folder}/model")


def open_app(
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", help="A tuned model folder; left out: the demo's where there is one, else the bundled one."
        ),
    ] = None,
    catalog: Annotated[str | None, typer.Option(help="The products: a table or a folder of pictures.")] = None,
    index: Annotated[Path | None, typer.Option(help="What `shopvl index` wrote.")] = None,
    tags: Annotated[Path | None, typer.Option(help="What `shopvl tag` wrote, to be reviewed.")] = None,
    compare: Annotated[list[Path] | None, typer.Option(help="A further model to compare with, repeatable.")] = None,
    names: Annotated[Path | None, typer.Option(help="JSON of names in other languages, and synonyms.")] = None,
    corrections: Annotated[Path | None, typer.Option(help="Where decisions go: a .jsonl file, added to.")] = None,
    start: Annotated[
        Path | None, typer.Option(help="What `shopvl start` made of the catalog: it learns while you review.")
    ] = None,
    work: Annotated[Path, typer.Option(help="Folder for decisions and catalog runs.")] = Path("app-work"),
    demo_folder: Annotated[Path | None, typer.Option("--demo-folder", help="Where `shopvl demo` wrote.")] = None,
    make_demo: Annotated[bool, typer.Option("--demo", help="Make the demo first, if it is not there.")] = False,
    device: DeviceName = None,
    host: Annotated[str, typer.Option(help="Address to listen on; others than loopback let others in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 7860,
    upload_mb: Annotated[int, typer.Option(min=1, help="Size that an upload may have.")] = 200,
) -> None:
    """Open the app for merchandisers in the browser.

    Look at products, search, review, tag a catalog, compare models.

    With --start it asks what `shopvl start` would ask, learns anew after every 40 decisions, and shows what is
    automatic. The --model is then the one that the start began with.

    Example: shopvl app --model runs/tagger --catalog products.csv --index index --tags tags
    """
    from shopvl.service.app_service import AppService
    from shopvl.service.learning import Learning
    from shopvl.start.starting import LOG, MODEL, TAGS_FOLDER

    base: Path = model or SHIPPED
    inputs: dict[str, Any] = {"model": base, "catalog": catalog, "index": index, "tags": tags, "names": names}
    if start is not None:
        inputs |= {"model": start / MODEL, "tags": start / TAGS_FOLDER}
        work, corrections = start / "app", corrections or start / LOG
    elif found := _demo_parts(demo_folder, make_demo, bare=model is None, alone=catalog is None):
        inputs, work = found
    with chatter.status("loading"):
        serving = _app_pages()
        service = AppService.open(**inputs, work=work, others=compare or (), corrections=corrections, device=device)
        learning = None if start is None else Learning.open(start, service, base)
    told = {"host": host, "port": port, "upload_mb": upload_mb}
    serving.serve(service, learning=learning, **told, ready=lambda url: out.print(f"Open {url} (Chinese: {url}/zh)"))


def _demo_parts(named: Path | None, make: bool, *, bare: bool, alone: bool) -> tuple[dict[str, Any], Path] | None:
    """The demo's model, catalog and the rest, and where its decisions go, where it is meant: no model was named
    (`bare`), and the demo was, or is to be made, or is there and no catalog was named (`alone`)."""
    from shopvl.demo import demo_parts, run_demo

    folder = named or Path("demo")
    made = (folder / "report.html").exists()
    if not bare or not (named or make or (made and alone)):
        return None
    if make and not made:
        with stages() as report:
            run_demo(folder, products=DEMO_PRODUCTS, minutes=DEMO_MINUTES, report=report)
    return {**demo_parts(folder)}, folder / "app"


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
