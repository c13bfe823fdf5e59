"""The dialect of delimited text by evidence: one is taken where its writer would have written these very lines.

A writer quotes a cell because it needs quotes, or all cells of a column, and escapes what would else end a cell. A
dialect under which a text holds nothing else (every row as wide as the header, no quote without a reason, no escape
that escapes nothing) explains the text. Where several do and read other cells, the likeliest is taken and the guess is
told.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Self

from shopvl.catalog.records import excerpt
from shopvl.catalog.schema import is_known_column
from shopvl.errors import CatalogError

USUAL = (",", "\t", ";", "|", "^", "~", "\x01", "\x1f")
NONE = "\x1e"  # between the fields of a table of one column, and around texts that nothing quotes: no text has it
JUDGED = 1 << 16  # characters
QUOTES = "\"'`|~^"
_SELDOM = frozenset(": #!*=&%$@+/?§¦¬·†‡<>\x02\x03\x14\x1c\x1d")  # that are taken only where they explain all lines
_WORDS = {
    "tab": "\t",
    r"\t": "\t",
    "blank": " ",
    "space": " ",
    "comma": ",",
    "semicolon": ";",
    "colon": ":",
    "pipe": "|",
}
_SAID = {"\t": "tabs", " ": "blanks", NONE: "nothing"}
_NUMBER = re.compile(r"[-+]?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")
_BETWEEN_WORDS = re.compile(r"[\s,;|:'\"]")
_PLAIN, _MARKED, _ODD = 2, 1, 3  # columns, cells in quotes of another kind, and more of these: what is evidence

_ALL_QUOTED = re.compile(r'"[^"]*"(?:[^"]"[^"]*")*')  # a line


def hits(cells: Sequence[str]) -> int:
    """How many of the cells are names of columns that are known."""
    return sum(is_known_column(cell) for cell in cells if len(cell) < 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What parts, quotes and escapes; None is not known yet."""

    delimiter: str | None = None
    quote: str | None = None
    escapes: bool | None = None  # whether a backslash does
    line_end: str | None = None  # `\n` stands for `\r\n` too

    @classmethod
    def said(cls, delimiter: str | None, quote: str | None, escape: str | None) -> Self:
        """What people say, as in a mapping. Raises CatalogError for what is no single sign."""
        own = {"delimiter": _sign("delimiter", delimiter), "quote": _sign("quote", quote)}
        mark = _sign("escape", escape)
        if mark not in (None, NONE, "\\"):
            raise CatalogError(f"escape is {escape!r}; a backslash or `none` was wanted")
        if own["delimiter"] is not None and own["delimiter"] == own["quote"] != NONE:
            raise CatalogError(f"delimiter and quote are both {delimiter!r}; two signs were wanted")
        return cls(**own, escapes=None if mark is None else mark == "\\")

    def __str__(self) -> str:
        quote = "nothing quoted" if self.quote == NONE else f"{self.quote} for quotes"
        escapes = ", \\ before what is no sign" if self.escapes else ""
        return f"{_SAID.get(self.delimiter or '', self.delimiter)} between columns, {quote}{escapes}"


def _sign(name: str, said: str | None) -> str | None:
    if said is None or said in ("", "none"):
        return None if said is None else NONE
    sign = _WORDS.get(said, said)
    if len(sign) != 1 or sign in "\r\n" or sign.isalnum():
        raise CatalogError(f"{name} is {said!r}; one sign was wanted, or `none`, as in `{name}: {_EXAMPLES[name]}`")
    return sign


_EXAMPLES = {"delimiter": '";"', "quote": '"\'"', "escape": "'\\'"}


@dataclass(frozen=True, slots=True)
class _Explained:
    """The cells of a text under a dialect that explains it."""

    dialect: Dialect
    rows: list[list[str]]
    quoted: int  # cells in quotes, or with an escaped delimiter
    needless: int  # of these, that would be the same without

    @property
    def marked(self) -> int:
        """Cells between two signs that quote elsewhere; where these are doubled within, they count more, even if the
        second was parted from them."""
        cells = (cell for row in self.rows for cell in row if _is_marked(cell) or _is_begun(cell))
        return sum(_ODD if cell[0] * 2 in cell[1:-1] else 1 for cell in cells)

    @property
    def rank(self) -> int:
        """How usual such a table is: columns parted as usual, one column, other signs."""
        if self.dialect.delimiter == NONE:
            return 1
        if self.dialect.delimiter in USUAL:
            return 2
        # words in a line are a text sooner than columns
        few, known = len(self.rows[0]) <= _PLAIN, hits(self.rows[0]) >= _PLAIN
        is_text = (few or not known) if self.dialect.delimiter == " " else (few and not known)
        return 0 if is_text and not self.quoted else 1


def _is_marked(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] in QUOTES and cell[0] not in cell[1:-1].replace(cell[0] * 2, "")


def _is_begun(cell: str) -> bool:
    """Whether a cell begins as one in quotes, with a sign that is doubled within it, and does not end so."""
    return len(cell) > 1 and cell[0] in QUOTES and cell[1] != cell[0] and cell[0] * 2 in cell[1:-1]


def found_dialect(text: str, said: Dialect) -> tuple[Dialect, str | None] | None:
    """The dialect that explains the beginning of a text, and what to tell of it where others do too; None where no
    dialect does. `said` is what is known already."""
    start, cut = text[:JUDGED], len(text) > JUDGED
    explained = [own for dialect in _possible(start, said) if (own := _explained(start, dialect, cut=cut))]
    if not explained:
        return None
    best = max(explained, key=lambda own: _likelihood(own, start))
    rival = next((str(own.dialect) for own in explained if own.rows != best.rows and _is_rival(own, best)), None)
    if 0 < best.quoted == best.needless < _ODD or (_is_raw(best.dialect) and best.marked > 0):
        rival = rival or "nothing quoted"
    is_usual = best.dialect.delimiter in (*USUAL, NONE)
    found = best.dialect
    if found.delimiter == NONE != said.delimiter and any(sign in start for sign in USUAL):
        found = said  # lines before the header may have none
    if _is_raw(found) and said.quote is None:
        # quotes stand where no writer sets them: they are judged one by one
        found = said if is_usual else replace(found, quote=None, escapes=said.escapes)
    if cut and found.escapes is False:
        found = replace(found, escapes=said.escapes)  # what comes may show them
    if rival is None and is_usual:
        return found, None
    marked = next((cell for row in best.rows for cell in row if _is_marked(cell)), "")
    if _is_raw(best.dialect) and is_usual and marked:
        cells = f"cells between two quotes are read without these, e.g. {excerpt(marked)}"
        return found, f"{cells}; if nothing is quoted, say `quote: none` in a mapping (--map)"
    return found, (
        f"read with {best.dialect}{f' ({rival} would fit too)' if rival else ''}, e.g. "
        f"{excerpt(' | '.join(best.rows[-1]))}; if that is wrong, say delimiter, quote or escape in a mapping (--map)"
    )


def _is_raw(dialect: Dialect) -> bool:
    """Whether nothing is quoted or escaped."""
    return dialect.quote == NONE and not dialect.escapes


def _likelihood(own: _Explained, text: str) -> tuple[int | bool, ...]:
    dialect = own.dialect
    return (
        not _is_raw(dialect),
        own.rank,
        hits(own.rows[0]),
        -(own.marked // (_MARKED + 1)),
        _escapes(text, dialect) if dialect.escapes else 1,
        len(own.rows[0]),
        dialect.quote == '"',
        dialect.delimiter == NONE or dialect.delimiter in USUAL,
    )


def _is_rival(own: _Explained, best: _Explained) -> bool:
    """Whether a dialect that reads other cells is nearly as likely."""
    if _is_raw(own.dialect) and not _is_raw(best.dialect):
        return False
    if own.dialect.delimiter != best.dialect.delimiter:
        clear = hits(best.rows[0]) > max(hits(own.rows[0]), 1)
        return (own.rank >= best.rank or best.rank == 1) and not clear
    if own.dialect.quote != best.dialect.quote:
        return abs(own.marked - best.marked) < _ODD
    return True


def _escapes(text: str, dialect: Dialect) -> int:
    """2 where backslashes stand before quotes, delimiters or line ends, or in pairs outside JSON; else 0."""
    signs = re.escape((dialect.quote or "") + (dialect.delimiter or ""))
    shown = re.search(rf"(?<!\\)(?:\\\\)*\\[{signs}\r\n](?!\s*\Z)", text)
    return 2 if shown or not re.search(r'[{\[]"*[{"]', text) else 0


def _possible(text: str, said: Dialect) -> Iterator[Dialect]:
    """The dialects whose signs stand in a text, the usual ones first."""
    first = re.split(r"[\r\n]", text, maxsplit=1)[0]
    signs = [sign for sign in USUAL if sign in first] + [sign for sign in first if sign in _SELDOM]
    one = [] if any(sign in USUAL for sign in signs) else [NONE]
    delimiters = [*dict.fromkeys(signs), *one] if said.delimiter is None else [said.delimiter]
    quotes = ['"', *(sign for sign in QUOTES[1:] if sign in text)] if said.quote is None else [said.quote]
    escapes = ([False, True] if "\\" in text else [False]) if said.escapes is None else [said.escapes]
    unquoted = [(NONE, own) for own in escapes] if said.quote is None else []
    if _ALL_QUOTED.fullmatch(first):  # names of columns hold no quotes: who wrote these quoted them
        unquoted = [(NONE, False)] if (NONE, False) in unquoted else []
    lone = re.search(r"\r(?!\n)", text)
    ends = ("\n", "\r") if lone and "\n" in text else ("\r",) if lone else ("\n",)
    around = [*product(quotes, escapes), *unquoted]
    for (quote, own), delimiter, end in product(around, delimiters, ends):
        if quote != delimiter or (quote == NONE and not own):
            yield Dialect(delimiter=delimiter, quote=quote, escapes=own, line_end=end)


def _explained(text: str, dialect: Dialect, *, cut: bool) -> _Explained | None:
    """The cells where the dialect explains the text; of one that is cut, without its last row."""
    quote, delimiter, escapes = dialect.quote or "", dialect.delimiter or "", bool(dialect.escapes)
    rows: list[list[str]] = []
    row: list[str] = []
    used: defaultdict[tuple[int, int], set[bool]] = defaultdict(set)
    quotes = needless = 0
    for inner, plain, end in _cells(text, dialect, cut=cut):
        raw, quoted = (plain, False) if inner is None else (inner, True)
        if (
            raw is None
            or not _is_sound(raw, quoted, quote, delimiter, escapes)
            or (not rows and not quoted and "\n" in raw)
        ):
            return None
        value = _value(raw, quoted, quote, escapes)
        needs = _needs(value, quote, delimiter, escapes)
        quotes += quoted or (escapes and "\\" + delimiter in raw)
        needless += quoted and not needs
        if value and not needs:
            used[len(row) if rows else -1, _kind(value)].add(quoted)
        row.append(value)
        if rows and (len(row) > len(rows[0]) or (end != delimiter and row != [""] and len(row) < len(rows[0]))):
            return None
        if end != delimiter:
            if row != [""] or quoted:
                rows.append(row)
            row = []
    if not rows or any(len(own) > 1 for own in used.values()):
        return None
    return _Explained(dialect, rows, quotes, needless)


def _cells(text: str, dialect: Dialect, *, cut: bool) -> Iterator[tuple[str | None, str | None, str]]:
    """What stands in each cell with quotes and without, and what ends it; nothing in either where no cell is."""
    q, d = re.escape(dialect.quote or ""), re.escape(dialect.delimiter or "")
    escaped = dialect.escapes
    inner = rf"(?:[^{q}\\]|\\(?:\r\n|.)|{q}{q})*+" if escaped else rf"[^{q}]*+(?:{q}{q}[^{q}]*+)*+"
    line_end, ends = (r"\r?\n", r"\r\n") if dialect.line_end == "\n" else (r"\r", r"\r")
    plain = rf"(?:[^{d}{ends}\\]|\\(?:\r\n|.))*+" if escaped else rf"[^{d}{ends}]*+"
    cell = re.compile(rf"(?:{q}({inner}){q}|(?!{q})({plain}))({d}|{line_end}|\Z)", re.DOTALL)
    at, end = 0, ""
    while at < len(text) or end == dialect.delimiter:
        match = cell.match(text, at)
        if match is None:
            if not cut or re.compile(rf"{q}{inner}{q}?\Z", re.DOTALL).match(text, at) is None:
                yield None, None, ""
            return
        at, end = match.end(), match[3]
        if cut and not end:
            return
        yield match[1], match[2], end


def _is_sound(raw: str, quoted: bool, quote: str, delimiter: str, escapes: bool) -> bool:
    """Whether quotes and backslashes in a cell stand as a writer sets them."""
    if escapes:
        signs = re.escape(quote if quoted else quote + delimiter)
        rest = re.sub(rf"\\(?:\r\n|[{signs}\\\r\n])", "", raw)
        return "\\" not in rest and (quoted or quote not in rest)
    return quoted or quote not in raw


def _value(raw: str, quoted: bool, quote: str, escapes: bool) -> str:
    if not escapes:
        return raw.replace(quote * 2, quote) if quoted else raw
    doubled = re.compile(rf"\\(.)|({re.escape(quote)}){re.escape(quote)}", re.DOTALL)
    return doubled.sub(lambda found: found[1] or found[2], raw)


def _kind(value: str) -> int:
    """Numbers, words and texts: some writers quote one kind alone."""
    if _NUMBER.fullmatch(value):
        return 0
    return 2 if _BETWEEN_WORDS.search(value) else 1


def _needs(value: str, quote: str, delimiter: str, escapes: bool) -> bool:
    """Whether a writer quotes or escapes that cell in any case."""
    signs = (quote, delimiter, "\n", "\r", *("\\" if escapes else ""))
    return value != value.strip() or any(sign in value for sign in signs)
