"""Commands that answer others: programs over HTTP, agents over the Model Context Protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shopvl.cli.console import chatter, out
from shopvl.cli.options import ModelFolder
from shopvl.errors import ShopvlError
from shopvl.paths import SHIPPED


def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FOLDER, or models:/NAME@ALIAS in place of a folder; left out: the bundled model."),
    ] = None,
    index: Annotated[list[str] | None, typer.Option(help="NAME=FOLDER that `shopvl index` wrote, repeatable.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; others than loopback want keys.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    api_key_file: Annotated[
        Path | None, typer.Option("--api-key-file", help="A key a line: requests must bring one.", dir_okay=False)
    ] = None,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Let everybody in who reaches the address.")
    ] = False,
    body_mb: Annotated[int, typer.Option(min=1, help="Size that a request may have.")] = 32,
    rows: Annotated[int, typer.Option(min=1, help="Products that a request may have.")] = 64,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for a request.")] = 30.0,
) -> None:
    """Answer over HTTP: tags, questions, vectors, searches.

    /openapi.json describes it, /metrics is for Prometheus. TERM ends it when what is under way has been answered;
    POST /v1/models/NAME/reload opens a model anew without a gap.

    Example: shopvl serve --model shop=runs/tagger --index shop=index
    """
    try:
        from shopvl.server import running
        from shopvl.server.application import application
        from shopvl.server.figures import Figures
        from shopvl.server.gate import ApiKeys
        from shopvl.server.handlers import Limits
        from shopvl.server.models import ServedModels
    except ModuleNotFoundError as missing:
        if missing.name not in ("fastapi", "starlette", "uvicorn", "prometheus_client"):
            raise
        raise ShopvlError(f"the server needs {missing.name}, which is not here; pip install 'shopvl[server]'") from None
    keys = None if api_key_file is None else ApiKeys.load(api_key_file)
    if host not in running.LOOPBACK and keys is None and not without_keys:
        raise ShopvlError(
            f"{host} lets other machines in, and there is no key; name keys with --api-key-file, or say --without-keys"
        )
    figures = Figures()
    with chatter.status("loading"):
        models = ServedModels(_named(model or [f"shopvl={SHIPPED}"]), _folders(index or ()), figures.batches.observe)
    app = application(
        models, figures=figures, keys=keys, limits=Limits(body_mb=body_mb, rows=rows, seconds=timeout), host=host
    )
    running.run(
        app, host=host, port=port, grace_s=timeout, ready=lambda url: out.print(f"answers at {url}", highlight=False)
    )


def _named(told: list[str] | tuple[str, ...]) -> dict[str, str]:
    """NAME=PLACE by name; a place alone is called by its last part. Raises ShopvlError for a name that comes twice."""
    named: dict[str, str] = {}
    for one in told:
        name, sign, place = one.partition("=")
        name, place = (name, place) if sign else (Path(one).name.removeprefix("models:").partition("@")[0], one)
        if name in named or not (name and place):
            what = "comes twice" if name in named else "has no name or no place"
            raise ShopvlError(f"{one!r} {what}; write NAME=FOLDER, each NAME once")
        named[name] = place
    return named


def _folders(told: list[str] | tuple[str, ...]) -> dict[str, Path]:
    return {name: Path(place) for name, place in _named(told).items()}


def mcp(
    model: ModelFolder = SHIPPED,
    index: Annotated[Path | None, typer.Option(help="What `shopvl index` wrote: adds search.")] = None,
    folder: Annotated[Path, typer.Option(help="Where pictures are read from.", file_okay=False)] = Path(),
) -> None:
    """Tools of an agent (MCP), over stdin and stdout.

    Tag a product, ask about one, search an index: the Model Context Protocol.

    Example: shopvl mcp --model runs/tagger --index index
    """
    try:
        from shopvl.server.mcp_tools import tool_server
    except ModuleNotFoundError as missing:
        if (missing.name or "").split(".")[0] != "mcp":
            raise
        raise ShopvlError("the tools need the package mcp (2 or later); pip install 'shopvl[mcp]'") from None
    from shopvl.loaded import load

    loaded = load(model)
    tool_server(loaded, folder, None if index is None else loaded.open_index(index)).run("stdio")
