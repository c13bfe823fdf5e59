"""Decisions from a review sheet: checked against the ontology, and written as corrections."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from shopvl.catalog.cells import folded, path_of, without_accents
from shopvl.catalog.corrections import CORRECTIONS, Correction, disputed, latest, read_corrections
from shopvl.catalog.kinds.base import PropertyKind
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.plural import singular
from shopvl.catalog.properties import Property
from shopvl.catalog.property_kinds import kind_of
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN, UNKNOWN
from shopvl.errors import ReviewError
from shopvl.files import LOCK, Table, atomic_write, exclusive_lock
from shopvl.review.keys import unlocked
from shopvl.review.sheet import (
    NAMES,
    SheetRow,
    read_sheet,
    write_csv,
)

UNKNOWN_WORDS = frozenset(
    (
        *(UNKNOWN, "none", "n/a", "na", "#n/a", "null", "nil", "n.a", "not applicable", "does not apply", "no value"),
        *("not known", "unbekannt", "keine", "keiner", "keine angabe", "k.a", "inconnu", "aucun", "aucune", "s/o"),
        *("desconocido", "ninguno", "ninguna", "nessuno", "nessuna", "geen", "onbekend", "brak", "нет", "неизвестно"),
        *("未知", "无", "没有", "不适用", "なし", "不明", "없음"),
    )
)
_NO_WORD = re.compile(r"[-–—./]+")  # that stands for nothing
# Words that stand in one list as the one and in another as the other
_ALIKE = {"woman": "women", "man": "men", "gray": "grey", "colour": "color"}
UNDECIDED_WORDS = frozenset(
    {"?", "??", "???", "not sure", "unsure", "don't know", "dont know", "no idea", "tbd", "不确定"}
)
MOST_LETTERS = 1000  # of a note
NEAREST = 3  # legal values named beside an illegal one


@dataclass(frozen=True)
class SheetFault:
    """A rejected row: its number in the sheet, its cells, and why."""

    row: int
    reason: str
    cells: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Imported:
    """Rows in = taken + empty + faults; `corrections` are now in the file, earlier ones included."""

    rows: int
    taken: int
    changed: int  # of those taken: other than the answer was
    empty: int
    corrections: int
    disputed: int  # of what is now in the file, on what people disagree
    faults: tuple[SheetFault, ...]
    rejects: Path | None  # where the faults are


def import_review(sheet: Path, ontology: Ontology, out: Path, *, by: str = "", now: datetime | None = None) -> Imported:
    """Read an edited sheet and add what was decided to `out`, a corrections.parquet.

    A later decision of the same person, `by`, replaces an earlier one.
    Every row is checked. Good ones are taken, the others go to `SHEET-rejects.csv` beside `out` with the reason: a
    sheet like the first, to be corrected and imported too. Raises ReviewError for a file that is no review sheet or
    in which nothing was decided.
    """
    if out.suffix.lower() != ".parquet":
        raise ReviewError(f"corrections are kept as .parquet, {out.name} is not; write --out corrections.parquet")
    with exclusive_lock(out.parent, f"importing into {out}", name=f".{out.name}{LOCK}"):
        return _imported(sheet, ontology, out, by, now)


def _imported(sheet: Path, ontology: Ontology, out: Path, by: str, now: datetime | None) -> Imported:
    rows = read_sheet(sheet)
    before = read_corrections(out) if out.exists() else []
    decided: list[tuple[SheetRow, Correction]] = []
    faults: list[SheetFault] = []
    names, moment = LegalNames(ontology), now or datetime.now(UTC)
    for row in rows:
        try:
            if (correction := _decided(row, names, moment)) is not None:
                decided.append((row, replace(correction, by=by)))
        except IllegalError as bad:
            faults.append(SheetFault(row.number, str(bad), row.cells))
    good, contradictory = _agreed(decided)
    faults = sorted([*faults, *contradictory], key=lambda fault: fault.row)
    if not good and not faults:
        raise ReviewError(f"nothing is decided in {sheet}: the column correct is empty in all {len(rows)} rows")
    after = latest(before, good)
    if good:
        with Table(out, CORRECTIONS) as table:
            table.write([correction.as_row() for correction in after])
    return Imported(
        rows=len(rows),
        taken=len(decided) - len(contradictory),
        changed=sum(correction.value != correction.previous for correction in good),
        empty=len(rows) - len(decided) - len(faults) + len(contradictory),
        corrections=len(after),
        disputed=len(disputed(after)),
        faults=tuple(faults),
        rejects=_write_rejects(sheet, out, faults),
    )


def _write_rejects(sheet: Path, out: Path, faults: Sequence[SheetFault]) -> Path | None:
    path = out.with_name(f"{sheet.stem}-rejects.csv")
    if not faults:
        if path.resolve() != sheet.resolve():
            path.unlink(missing_ok=True)  # of an earlier import of this sheet, since corrected
        return None
    names = ["row", "reason", *(name for name in NAMES if name != "picture")]
    with atomic_write(path) as draft:
        write_csv(draft, ({**fault.cells, "row": str(fault.row), "reason": fault.reason} for fault in faults), names)
    return path


class IllegalError(ReviewError):
    """A decision that cannot be taken, and why."""


def _decided(row: SheetRow, names: LegalNames, moment: datetime) -> Correction | None:
    """The decision of a row; None where it was not filled in. Raises IllegalError."""
    if row.fault is not None:
        raise IllegalError(row.fault)
    text, key = row.cells["correct"], row.cells["key"]
    origin = unlocked(key) if key else None
    if origin is None:
        if not text and not key:
            return None  # a note that somebody wrote below the table
        problem = f"its key {key!r} is damaged" if key else "it has no key"
        raise IllegalError(f"{problem}, so it is not a row of an exported sheet; fill in the row that was exported")
    product_id, name, answer, at_random = origin
    changed = [
        f"{column} was {before!r} and is now {row.cells[column]!r}"
        for column, before in (("product_id", product_id), ("property", name), ("answer", answer))
        if not _same(before, row.cells[column])
    ]
    if changed:
        raise IllegalError(f"{'; '.join(changed)}; undo that, and write the right value in the column correct")
    if not text or folded(text) in UNDECIDED_WORDS:
        return None
    value, note = names.value(name, text), row.cells.get("note", "")[:MOST_LETTERS]
    return Correction(product_id, names.property(name), value, answer, moment, at_random, note=note)


def _same(before: str, now: str) -> bool:
    """Whether a cell is unchanged, but for what spreadsheets do to numbers and to what looks like a date to them:
    123 of 00123, 8.8E+12, 42.0, fifteen digits of a longer number, 2026-03-04 or 4-Mar of 3-4."""
    if folded(before) == folded(now):
        return True
    days = _days_of(now)
    if days and days & {frozenset(map(int, match.groups()[:2])) for match in _DATE_LIKE.finditer(before)}:
        return True
    try:
        number_before, number_now = float(before.replace(",", "")), float(now.replace(",", ""))
    except ValueError:
        return False
    tolerance = 1e-5 if "e" in now.lower() else 1e-14 if len(before) > 15 else 0.0
    return abs(number_before - number_now) <= tolerance * abs(number_before)


def _days_of(text: str) -> set[frozenset[int]]:
    """The day and month that a cell names which a spreadsheet has made a date of."""
    days = {frozenset(map(int, match.groups())) for match in _DATE.finditer(text)}
    for first, second in _DAY_NAMED.findall(text) + [(day, name) for name, day in _NAMED_DAY.findall(text)]:
        days.add(frozenset((int(first), _MONTHS.index(second[:3].lower()) + 1)))
    return days


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DATE_LIKE = re.compile(r"\b(\d{1,2})[-/.](\d{1,2})(?:[-/.]\d{2,4})?\b")
_DATE = re.compile(r"\b(?:\d{4}-)(\d{1,2})-(\d{1,2})(?:[T ][\d:.]+)?\b")
_DAY_NAMED = re.compile(rf"\b(\d{{1,2}})[-. ]({'|'.join(_MONTHS)})", re.IGNORECASE)
_NAMED_DAY = re.compile(rf"\b({'|'.join(_MONTHS)})[a-z]*[-. ](\d{{1,2}})\b", re.IGNORECASE)


def _agreed(decided: Sequence[tuple[SheetRow, Correction]]) -> tuple[list[Correction], list[SheetFault]]:
    """One correction per product and property; rows that contradict each other are all faults."""
    by_key: dict[tuple[str, str], list[tuple[SheetRow, Correction]]] = defaultdict(list)
    for row, correction in decided:
        by_key[correction.key()].append((row, correction))
    good, faults = [], []
    for rows in by_key.values():
        said = Counter(correction.value for _, correction in rows)
        if len(said) == 1:
            good.append(rows[0][1])
            continue
        listed = ", ".join(f"{correction.value or UNKNOWN} in row {row.number}" for row, correction in rows)
        reason = f"{rows[0][1].property} of product {rows[0][1].product_id} is given more than once: {listed}; keep one"
        faults += [SheetFault(row.number, reason, row.cells) for row, _ in rows]
    return good, faults


class LegalNames:
    """What may be written in `correct`: ids, names and synonyms of values in every language, and `unknown`."""

    def __init__(self, ontology: Ontology) -> None:
        self.ontology = ontology
        self._values = {prop.id: _value_names(prop.values) for prop in ontology.properties}
        self._values[CATEGORY] = _category_names(ontology)

    def property(self, name: str) -> str:
        """The id of a property. Raises IllegalError where there is none of that name."""
        if name == CATEGORY:
            return CATEGORY
        known = self.ontology.property(name)
        if known is not None:
            return known.id
        ids = {folded(known_id): known_id for known_id in (CATEGORY, *(prop.id for prop in self.ontology.properties))}
        near = get_close_matches(folded(name), ids, n=NEAREST)
        hint = f" (near: {_listed([ids[known_id] for known_id in near])})" if near else ""
        raise IllegalError(
            f"this model has no property {name!r}{hint}; name the --model that the sheet was exported with"
        )

    def value(self, name: str, text: str) -> str | None:
        """The id of the value that `text` names, None for `unknown`. Raises IllegalError that names the nearest."""
        name = self.property(name)
        prop = self.ontology.property(name)
        if prop is not None and (kind := kind_of(prop)) is not None:
            return _stated(text, prop, kind)
        names = self._values[name]
        meant = names.get(_folded_path(text) if name == CATEGORY else folded(text), set())
        if len(meant) == 1:
            return next(iter(meant))
        if len(meant) > 1:
            raise IllegalError(f"{text!r} can mean {_listed(sorted(meant))}; write which")
        if folded(text).strip(" .") in UNKNOWN_WORDS or _NO_WORD.fullmatch(text.strip()):
            return None
        meant = self._loosely(names, text)
        if len(meant) == 1:
            return next(iter(meant))
        if len(meant) > 1:
            raise IllegalError(f"{text!r} can mean {_listed(sorted(meant))}; write which")
        if name == CATEGORY and (below := self._below(text)):
            raise IllegalError(f"{text!r} has kinds of its own below it, one of them is wanted: {_listed(below)}")
        loose = {_loose(known): known for known in names}
        near = [loose[key] for key in get_close_matches(_loose(text), loose, n=NEAREST * 3, cutoff=0.6)]
        ids = list(dict.fromkeys(value_id for match in near for value_id in sorted(names[match])))[:NEAREST]
        if ids:
            raise IllegalError(f"{text!r} is not a known {name}; did you mean {_listed(ids)}? Or write {UNKNOWN}")
        legal = sorted(set().union(*names.values()))
        raise IllegalError(f"{text!r} is not a known {name}; legal are {_listed(legal)}, and {UNKNOWN}")

    @staticmethod
    def _loosely(names: Mapping[str, set[str]], text: str) -> set[str]:
        """Values of these names that the text spells in another way: Women's, NAVY-BLUE, t shirts, 42.0."""
        for alike in (
            lambda name: _loose(name) == _loose(text),
            lambda name: _same(name, text) or _same(name, text.replace(",", ".")),
            lambda name: sorted(_loose_words(name)) == sorted(_loose_words(text)),
            lambda name: _said_otherwise(name) == _said_otherwise(text),
        ):
            if _loose(text) and (spelled := [ids for name, ids in names.items() if alike(name)]):
                return set().union(*spelled)
        return set()

    def _below(self, text: str) -> list[str]:
        path = path_of(text)
        if path is None:
            return []
        ends = [leaf for leaf in self.ontology.leaves() if _key_of(path) == _key_of(leaf)[: len(path)]]
        named = [leaf for leaf in self.ontology.leaves() if len(path) == 1 and _key_of(path)[0] in _key_of(leaf)[:-1]]
        return [CATEGORY_JOIN.join(leaf) for leaf in ends or named]


def _stated(text: str, prop: Property, kind: PropertyKind) -> str | None:
    """A value that texts state, as it is written; None for `unknown`."""
    if folded(text) in UNKNOWN_WORDS:
        return None
    parts = kind.read(text, prop)
    if parts is None:
        raise IllegalError(f"{text!r} is not a value of {prop.id}; write {kind.wanted(prop)}, or {UNKNOWN}")
    return kind.cell(parts)


def _value_names(values: Iterable[Any]) -> dict[str, set[str]]:
    """Folded name -> ids. An id never counts as another value's name."""
    names: dict[str, set[str]] = defaultdict(set)
    for value in values:
        for name in value.every_name():
            names[folded(name)].add(value.id)
    return names | {folded(value.id): {value.id} for value in values}


def _category_names(ontology: Ontology) -> dict[str, set[str]]:
    """Folded path, in the catalog's words or another language's, or name of a leaf -> joined paths of leaves."""
    short: dict[str, set[str]] = defaultdict(set)
    long: dict[str, set[str]] = {}
    for node in ontology.leaf_categories():
        leaf, joined = node.path, CATEGORY_JOIN.join(node.path)
        for name in (leaf[-1], *node.every_name()):
            short[folded(name)].add(joined)
        for language in node.names:
            steps = [ontology.category(leaf[: depth + 1]) for depth in range(len(leaf))]
            spoken = [(step.name(language) if step else None) or own for step, own in zip(steps, leaf, strict=True)]
            long.setdefault(_folded_path(CATEGORY_JOIN.join(spoken)), set()).add(joined)
    own = {_folded_path(CATEGORY_JOIN.join(leaf)): {CATEGORY_JOIN.join(leaf)} for leaf in ontology.leaves()}
    return short | long | own


def _loose(text: str) -> str:
    """A name without accents, possessives, plurals, blanks and signs: how two people spell one thing alike."""
    return "".join(_loose_words(text))


@lru_cache(maxsize=1 << 16)
def _loose_words(text: str) -> tuple[str, ...]:
    words = re.sub(r"(?<=\w)['’`]s?\b", "", folded(without_accents(text)))
    joined = re.sub(r"\b(\w)[ -](?=\w{3})", r"\1", re.sub(r"[^\w\s-]|_", " ", words))  # t shirt, v-neck
    single = (singular(word) for word in re.split(r"[\s-]+", joined) if word and word != "and")
    return tuple(_ALIKE.get(word, word) for word in single)


_AUDIENCES = {
    **dict.fromkeys(("ladies", "lady", "female", "females"), "women"),
    **dict.fromkeys(("gents", "gentlemen", "male", "males"), "men"),
}


@lru_cache(maxsize=1 << 16)
def _said_otherwise(text: str) -> str:
    """Sizes and audiences in one of the ways that people write them: 2XL as XXL, 38½ as 38.5, Small as S, Ladies as
    Women."""
    plain = folded(re.sub(r"(\d)(?:\s*½|\s*1⁄2|\s+1/2)", r"\1.5", text.replace(",", ".")))
    plain = re.sub(r"\bextra[ -]?", "x", plain.removeprefix("size "))
    plain = re.sub(r"\b([2-6])[ -]?x(?=[ -]?(?:s|l|small|large)\b)", lambda match: "x" * int(match[1]), plain)
    plain = re.sub(r"(?<=x)[ -](?=[xsl])", "", plain)
    plain = re.sub(r"\b(x*)(small|medium|large)\b", lambda match: match[1] + match[2][0], plain)
    return _AUDIENCES.get(plain, plain)


def _key_of(path: Sequence[str]) -> tuple[str, ...]:
    return tuple(folded(step) for step in path)


def _folded_path(text: str) -> str:
    return CATEGORY_JOIN.join(_key_of(path_of(text.replace("＞", ">")) or ()))


def _listed(values: Sequence[str], most: int = 8) -> str:
    listed = ", ".join(repr(value) for value in values[:most])
    return f"{listed} … ({len(values)} in all)" if len(values) > most else listed
