"""What the command line prints with: results to stdout, progress and remarks to stderr."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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
from rich.table import Column
from rich.text import Text

if TYPE_CHECKING:
    from shopvl.catalog.readers import Catalog
    from shopvl.data.rows import RejectedRow

SHOWN_REASONS = 5

_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class _PlainConsole(Console):
    """Shows what strangers wrote as it is written: neither markup nor the terminal's own controls are obeyed."""

    def __init__(self, **told: Any) -> None:
        super().__init__(markup=False, emoji=False, **told)

    def render_str(self, text: str, **told: Any) -> Text:
        """The text, with controls, changes of direction and halves of characters as Python escapes them."""
        return super().render_str(visible(text), **told)


def visible(text: str) -> str:
    """The text without what a terminal obeys (CWE-150): an escape sequence can hide lines, or type for the user."""
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


chatter = _PlainConsole(stderr=True)
out = _PlainConsole(soft_wrap=True)  # a path that is wrapped cannot be copied


def print_what_can_be() -> None:
    """From now on, letters that a terminal or file of another encoding cannot hold are escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _Speed(ProgressColumn):
    """Recent items per second."""

    def render(self, task: Task) -> Text:
        """`123/s`, empty until it is known."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
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
def stages() -> Iterator[Callable[..., None]]:
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


def say(message: str) -> None:
    """Print one line to stderr, without wrapping."""
    chatter.print(message, highlight=False, soft_wrap=True)


class _PrintedOnce(logging.Handler):
    """Prints what was logged, each sentence once."""

    def __init__(self) -> None:
        super().__init__()
        self._sentences: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print a sentence that was not printed before."""
        sentence = record.getMessage()
        if sentence not in self._sentences:
            self._sentences.add(sentence)
            say(f"note: {sentence}")


def say_notes() -> None:
    """From now on, print what readers of tables guess (`shopvl.catalog.notes`)."""
    noted = logging.getLogger("shopvl.catalog")
    if not any(isinstance(handler, _PrintedOnce) for handler in noted.handlers):
        noted.addHandler(_PrintedOnce())


def say_unused(opened: Catalog) -> None:
    """Which columns nothing is learned from: one that holds a property should say so."""
    if opened.plan.further:
        unused = f"columns that are not learned from: {', '.join(opened.plan.further)}"
        say(f"{unused}; name a column attribute:NAME where it holds a property")


def say_rejects(rejects: Sequence[RejectedRow]) -> None:
    """How many rows were not learned from, and why."""
    from shopvl.tagging.summary import reason_kind

    for reason, count in Counter(reason_kind(reject.reason) for reject in rejects).most_common(SHOWN_REASONS):
        chatter.print(f"  {count} rows were not learned from: {reason}", highlight=False)
