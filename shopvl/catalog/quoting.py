"""Rows of delimited text, whatever was done to their quotes: no row is lost, and none swallows the next."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from shopvl.catalog.notes import ReadingNotes
from shopvl.catalog.records import excerpt

# A quoted field may run over so much; the search for its end stops earlier, at a line that is a row by itself.
MAX_RECORD_LINES, MAX_RECORD_CHARS = 20_000, 4_000_000
# Characters that searches in vain may look at in one table; after that they look at a few lines each.
_SEARCHED_IN_VAIN, _FEW_LINES = 200_000_000, 50
# `csv` refuses fields longer than 131,072 characters, which HTML with a picture in it has; the limit is the process's
csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD_CHARS))
_FEW = 20  # rows
_PATH = re.compile(r"\S*[/\\]\S*|\S+\.[A-Za-z]\w{1,4}")
_NUMBER = re.compile(r"[-+]?\d[\d.,]*")


class TextRow(NamedTuple):
    """The fields of a record, the number of its first line, and why it could not be parsed, if it could not."""

    fields: list[str]
    line: int
    fault: str | None = None


@dataclass
class Shapes:
    """What the columns of a table hold by its first rows: tells a row from a line inside a field."""

    kinds: list[set[str]] = field(default_factory=list)
    rows: int = 0

    def learn(self, fields: Sequence[str], unless: str) -> None:
        """Look at one row, but for cells that hold a quote or several lines: they may be no cells."""
        self.rows += 1
        self.kinds += [set() for _ in range(len(fields) - len(self.kinds))]
        for kinds, cell in zip(self.kinds, fields, strict=False):
            if unless not in cell and "\n" not in cell:
                kinds.add(_kind(cell))

    def fit(self, fields: Sequence[str], quote: str) -> bool:
        """Whether these could be the fields of a row."""
        if not fields[0] and not (self.kinds and "empty" in self.kinds[0]):
            return False
        return all(
            _accepts(kinds, _kind(cell.strip(quote)), few=number > 0 and self.rows < _FEW)
            for number, (kinds, cell) in enumerate(zip(self.kinds, fields, strict=False))
        )


def _kind(cell: str) -> str:
    if not cell:
        return "empty"
    if cell[0] == " ":
        return "indented"
    if _NUMBER.fullmatch(cell):
        return "number"
    if _PATH.fullmatch(cell):
        return "path"
    return "text" if " " in cell else "word"


def _accepts(kinds: set[str], kind: str, *, few: bool) -> bool:
    """Whether a column that holds those kinds may hold this one; few rows with a single word leave room for more."""
    if not kinds or kind in kinds:
        return True
    if kind == "number":
        return "word" in kinds or "text" in kinds
    if kind == "text":
        return few and "word" in kinds
    return kind in ("word", "path") and "text" in kinds


class QuotedRows:
    """The rows of lines of delimited text, in one pass; what is guessed about their quotes goes to the notes.

    `csv.reader` over the whole file would let one stray quote swallow everything up to the next one. Here a record that
    spans lines must close within bounds, have `width` fields, and hold no line that is a row by itself. If it does not,
    its first line is read with the quote as a character, and reading goes on at the second.
    """

    def __init__(
        self,
        lines: Iterator[str],
        delimiter: str,
        quote: str = '"',
        *,
        width: int | None = None,
        before: int = 0,
        escapes: bool | None = None,
        strict: bool = False,
        shapes: Shapes | None = None,
        notes: ReadingNotes | None = None,
    ) -> None:
        """`width` None takes any number of fields; `before` lines were read already; with `escapes` a backslash makes
        what follows it a character, where that is None in the rows that show it; with `strict`, what is quoted is never
        taken for rows."""
        self.delimiter, self.quote, self.width, self.escapes = delimiter, quote, width, escapes
        self.strict = strict
        self.shapes = Shapes() if shapes is None else shapes
        self.notes = ReadingNotes() if notes is None else notes
        self.escaped = False  # whether any row could be read by its backslashes alone
        self.number = before  # of the last line that was read
        self._lines, self._waiting = lines, deque[str]()
        self._left_to_search = _SEARCHED_IN_VAIN
        marks = re.escape(quote + delimiter) + r"\\"
        self._escaped_quote = re.compile(rf"(?<!\\)(?:\\\\)*\\{re.escape(quote)}(?!{re.escape(quote)})")
        self._escape = re.compile(rf"\\((?:\r\n|[\r\n])(?!\Z)|[{marks}])")

    def __iter__(self) -> Iterator[TextRow]:
        """Each record; blank lines are left out."""
        waiting, quote, delimiter, width = self._waiting, self.quote, self.delimiter, self.width
        while True:
            line = waiting.popleft() if waiting else next(self._lines, None)
            if line is None:
                return
            self.number += 1
            if quote not in line and not self.escapes:
                fields = line.rstrip("\r\n").split(delimiter)
                if len(fields) == width:
                    yield TextRow(fields, self.number)
                    continue
            if line.strip("\r\n \ufeff"):
                yield self._row(line)

    def _row(self, line: str) -> TextRow:
        """The record that begins with a line; lines that it takes are gone from those to come."""
        number = self.number
        if self.escapes and _ends_escaping(line) and (fields := self._continued(line)) is not None:
            return TextRow(fields, number)
        fields, is_open = self._parsed(line)
        if fields is None and is_open:
            fields = self._over_lines(line)
        if fields is None:
            fields = self._loose(line)
        if fields is None and "\r" in line.rstrip("\r\n"):  # ends of lines of two systems in one file
            first, *others = line.rstrip("\r\n").split("\r")
            self._waiting.extendleft(reversed(others))
            return self._row(first)
        if fields is None and self.escapes is None and line.rstrip("\r\n").endswith("\\"):
            fields = self._continued(line)
        if fields is not None:
            return TextRow(fields, number)
        loose = line.rstrip("\r\n").split(self.delimiter)
        if is_open:
            return TextRow(loose, number, f"line {number}: a quote is opened and not closed: {excerpt(line)}")
        there = self._strict(line)[0] or loose
        return TextRow(
            loose, number, f"line {number}: {len(there)} fields where the header has {self.width}: {excerpt(line)}"
        )

    # --- one line

    def _parsed(self, text: str) -> tuple[list[str] | None, bool]:
        """The fields of a whole record by one of the customs that writers follow, or None, and whether a quote of it is
        still open."""
        escaped, waits = self._by_backslashes(text) if self.escapes is not False and "\\" in text else (None, False)
        if escaped is not None and self.escapes:
            self._note_escape(text)
            return escaped, False
        if waits and self.escapes:
            return None, True
        strict, is_open = self._strict(text)
        fields = self._fitting(strict)
        if fields is not None and not (escaped is not None and self._shows_escapes(text, fields)):
            return fields, False
        if escaped is not None:
            self._note_escape(text)
            return escaped, False
        if strict and self.width != 1 and not any(strict[1:]) and self.delimiter in strict[0]:
            inner = self._fitting(self._strict(strict[0])[0])
            if inner is not None:
                self.notes.add("whole-line", f"lines that were quoted as a whole are unpacked, e.g. {excerpt(text)}")
                return inner, False
        return None, is_open or waits

    def _shows_escapes(self, text: str, fields: Sequence[str]) -> bool:
        """Whether cells that were read without escapes hold an escaped quote, one that is not doubled as in the JSON of
        a cell, or end before an escaped delimiter."""
        escaped = "\\" + self.quote
        is_escaped = any(escaped in cell for cell in fields) and self._escaped_quote.search(text)
        return bool(is_escaped) or any(map(_ends_escaping, fields[:-1]))

    def _note_escape(self, text: str) -> None:
        self.escaped = True
        self.notes.add("backslash", f"what a backslash stands before is read as a character, e.g. {excerpt(text)}")

    def _strict(self, text: str) -> tuple[list[str] | None, bool]:
        """The fields by the rules (RFC 4180), or None, and whether a quote is still open."""
        fields, is_open = self._read(text, skip_space=False)
        opening = f" {self.quote}"
        if self.delimiter + opening in text and (fields is None or any(cell.startswith(opening) for cell in fields)):
            return self._read(text, skip_space=True)
        return fields, is_open

    def _read(self, text: str, *, skip_space: bool) -> tuple[list[str] | None, bool]:
        try:
            reader = csv.reader(
                [text], delimiter=self.delimiter, quotechar=self.quote, strict=True, skipinitialspace=skip_space
            )
            return next(reader, []), False
        except csv.Error as error:
            return None, "end of data" in str(error)

    def _by_backslashes(self, text: str) -> tuple[list[str] | None, bool]:
        """The fields where a backslash makes the next quote, delimiter, backslash or line end a character, or None, and
        whether a quote is still open."""
        held: list[str] = []
        if not self._escape.search(text):
            return None, False
        blank = next(sign for sign in map(chr, range(0xE000, 0xF8FF)) if sign not in text)

        def hold(match: re.Match[str]) -> str:
            held.append(match[1])
            return blank

        strict, is_open = self._strict(self._escape.sub(hold, text))
        fields = self._fitting(strict)
        if fields is None:
            return None, is_open
        marks = iter(held)
        return [re.sub(blank, lambda _: next(marks), cell) for cell in fields], False

    def _loose(self, line: str) -> list[str] | None:
        """The fields of a line with stray quotes: what opens no field that also closes is a character."""
        if self.quote not in line:
            return self._fitting(line.rstrip("\r\n").split(self.delimiter))
        text = line.rstrip("\r\n")
        fields = self._fitting(_between_delimiters(text, self.delimiter, self.quote))
        if fields is None:
            fields = self._fitting(text.split(self.delimiter))
        if fields is not None:
            self.notes.add("quote", f"a quote that encloses no cell is read as a character, e.g. {excerpt(text)}")
        return fields

    def _fitting(self, fields: list[str] | None) -> list[str] | None:
        """The fields if there are as many as the header has; empty ones too many are dropped."""
        if fields is None or self.width is None or len(fields) == self.width:
            return fields
        if len(fields) > self.width and not any(cell.strip() for cell in fields[self.width :]):
            return fields[: self.width]
        return None

    # --- several lines

    def _over_lines(self, line: str) -> list[str] | None:
        """The fields of a record with a quote that a later line closes; without one, the lines wait again."""
        taken, size, parsed, searched = [line], len(line), None, 0
        most = MAX_RECORD_LINES if self._left_to_search > 0 else _FEW_LINES
        while len(taken) < most and size < MAX_RECORD_CHARS and self._at_hand(len(taken) - 1):
            more = self._waiting[len(taken) - 1]
            taken.append(more)
            size += len(more)
            if self.quote not in more:
                if not self.strict and self._is_row(more):
                    break
                continue
            if more.count(self.quote) % 2 == 0 and "\\" not in more:
                continue  # closes what it opens
            parsed, is_open = self._parsed("".join(taken))
            searched += size
            if parsed is not None or not is_open or searched > _SEARCHED_IN_VAIN // 10:
                break
        if parsed is None or self._swallows(taken):
            self._left_to_search -= size + searched
            return None
        for _ in taken[1:]:
            self._waiting.popleft()
        self.number += len(taken) - 1
        return parsed

    def _at_hand(self, index: int) -> bool:
        """Whether there is a line at that place among those to come; it waits now."""
        if index >= len(self._waiting) and (line := next(self._lines, None)) is not None:
            self._waiting.append(line)
        return index < len(self._waiting)

    def _is_row(self, line: str) -> bool:
        """Whether a line could be a row by itself, its quotes taken as characters."""
        if self.width is None or self.width < 2 or line.count(self.delimiter) != self.width - 1:
            return False
        fields = line.rstrip("\r\n").split(self.delimiter)
        return not any(cell and not cell.strip(self.quote) for cell in fields) and self.shapes.fit(fields, self.quote)

    def _swallows(self, taken: Sequence[str]) -> bool:
        """Whether a record over these lines holds rows that an unrelated quote closes."""
        if self.strict:
            return False
        if any(self.quote not in line and self._is_row(line) for line in taken[1:-1]):
            return True
        begins_as_row = self._is_row(taken[0]) or taken[0].count(self.delimiter) >= (self.width or 0)
        return (begins_as_row or any(map(self._ends_as_row, taken[:-1]))) and self._is_row(taken[-1])

    def _ends_as_row(self, line: str) -> bool:
        """Whether a line ends with an address or file, as all rows do."""
        last = self.shapes.kinds[-1] if len(self.shapes.kinds) == self.width else None
        return last == {"path"} and _kind(line.rstrip("\r\n").rpartition(self.delimiter)[2]) == "path"

    def _continued(self, line: str) -> list[str] | None:
        """The fields of a record that goes on behind a backslash at the end of its line."""
        text = line
        for index in range(100):
            if not _ends_escaping(text) or not self._at_hand(index):
                return None
            text += self._waiting[index]
            if _ends_escaping(text):
                continue
            if (fields := self._by_backslashes(text)[0]) is not None:
                for _ in range(index + 1):
                    self._waiting.popleft()
                self.number += index + 1
                self._note_escape(text)
                return fields
        return None


def _ends_escaping(text: str) -> bool:
    """Whether a backslash stands before its end, or that of its last line, and before no other."""
    text = text.removesuffix("\n").removesuffix("\r")
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1


def _between_delimiters(text: str, delimiter: str, quote: str) -> list[str]:
    """Fields of one line; a quoted one ends at a quote before a delimiter, and quotes in it need not be doubled."""
    fields, at = [], 0
    while True:
        start = at
        while text[start : start + 1] == " ":
            start += 1
        end = _closing(text, start, delimiter, quote) if text[start : start + 1] == quote else None
        if end is not None:
            fields.append(text[start + 1 : end].replace(quote * 2, quote))
            at = text.find(delimiter, end)
        else:
            after = text.find(delimiter, at)
            fields.append(text[at : after if after >= 0 else None])
            at = after
        if at < 0:
            return fields
        at += 1


def _closing(text: str, start: int, delimiter: str, quote: str) -> int | None:
    """Where the quoted field that begins at `start` ends: its quote that stands before a delimiter or at the end."""
    at = text.find(quote, start + 1)
    while at >= 0:
        doubled = 0
        while text[at + doubled : at + doubled + 1] == quote:
            doubled += 1
        rest = text[at + doubled :].lstrip(" ")
        if (doubled % 2 or at == start + 1) and (not rest or rest.startswith(delimiter)):
            return (
                None if delimiter + quote in text[start + 1 : at] else at + doubled - 1
            )  # that is where a field begins
        at = text.find(quote, at + doubled)
    return None
