"""The command line: verbs with examples. Data to stdout or --out, chatter to stderr, one sentence on failure.

Heavy libraries are imported inside the commands that need them, so that help answers at once.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

import typer

from shopvl import __version__
from shopvl.catalog.vocabulary import ALLOW_HOSTS, ENCODING, USER_AGENT
from shopvl.cli import (
    catalog,
    demo,
    experiments,
    learning,
    locating,
    picture_codes,
    recipes,
    search,
    serving,
    tagging,
    writing,
)
from shopvl.cli.console import chatter, out, print_what_can_be, say_notes
from shopvl.cli.endings import STOPPED, sentence_for
from shopvl.runtime.collecting import collect_seldom

HELP = """Understand a shop's products from their pictures and words.

Every command shows an example: shopvl COMMAND --help. Results go to --out or stdout, messages to stderr."""

INTERRUPTED = 130  # exit code after Ctrl-C, as shells have it

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=HELP)


def _say_version(asked: bool) -> None:
    if asked:
        out.print(f"shopvl {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    allow_hosts: Annotated[
        str | None,
        typer.Option(
            envvar=ALLOW_HOSTS,
            metavar="HOSTS",
            help="Hosts and networks of your own that pictures are fetched from, with commas: cdn.local,10.1.0.0/16. "
            "Public ones always are.",
        ),
    ] = None,
    user_agent: Annotated[
        str | None, typer.Option(envvar=USER_AGENT, help="What servers are told that pictures are fetched from.")
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(envvar=ENCODING, help="Of text tables, where it is guessed wrong: cp1250, shift_jis, gb18030."),
    ] = None,
) -> None:
    """What every command shares."""
    say_notes()
    # in the environment, so that worker processes know it
    for name, value in ((ALLOW_HOSTS, allow_hosts), (USER_AGENT, user_agent), (ENCODING, encoding)):
        if value is not None:
            os.environ[name] = value


# in the order of the help
app.command("demo")(demo.demo)
app.command("app")(demo.open_app)
app.command("pretrain")(learning.pretrain)
app.command("tune")(learning.tune)
app.command("start")(learning.start)
app.command("adapt")(learning.adapt)
app.command("calibrate")(learning.calibrate)
app.command("tag")(tagging.tag)
app.command("export")(tagging.export)
app.command("ask")(tagging.ask)
app.command("embed")(tagging.embed)
app.command("write")(writing.write)
app.command("locate")(locating.locate)
app.command("verify")(locating.verify)
app.command("codes")(picture_codes.codes)
app.command("index")(search.index)
app.command("search")(search.search)
app.command()(search.suggest)
app.command("search-audit")(search.search_audit)
app.command("search-judge")(search.search_judge)
app.command("serve")(serving.serve)
app.command("mcp")(serving.mcp)
app.command("evaluate")(learning.evaluate)
app.add_typer(catalog.catalog_app, name="catalog")
app.add_typer(recipes.recipes_app, name="recipes")
app.add_typer(tagging.review_app, name="review")
app.add_typer(experiments.experiments_app, name="experiments")


def main() -> None:
    """Entry point: a user's mistake is one sentence on stderr and exit code 1."""
    collect_seldom()
    print_what_can_be()
    try:
        app()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            _end(STOPPED, INTERRUPTED)
        raise
    except Exception as error:
        sentence = sentence_for(error)
        if sentence is None:
            raise
        _end(sentence, 1)


def _end(sentence: str, code: int) -> NoReturn:
    try:
        chatter.print(f"shopvl: {sentence}", style="red", highlight=False, soft_wrap=True)
    except OSError:  # nobody reads on: a closed pipe, or a log on a full disk
        os._exit(code)
    sys.exit(code)
