"""Questions as prompts with a slot: the four families, their phrasings per language, checked against an ontology."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict

from shopvl.catalog.ontology import Ontology
from shopvl.catalog.properties import CHOICE, Property, Value
from shopvl.errors import CatalogError
from shopvl.paths import resource_dir

SLOT = "[MASK]"
Family = Literal["is", "sold", "has", "property"]
FAMILIES: tuple[Family, ...] = get_args(Family)
PLACEHOLDERS: dict[Family, set[str]] = {
    "is": {"product", "level"},
    "sold": {"product"},
    "has": {"product"},
    "property": {"product", "property", "candidates"},
}
MUST_HOLD: dict[Family, set[str]] = {"is": {"level"}, "sold": set(), "has": set(), "property": {"property"}}
Named = Literal["category", "value"]
TITLE_PLACEHOLDERS: dict[Named, set[str]] = {
    "category": {"label", "product"},
    "value": {"label", "product", "property"},
}
MAX_CANDIDATES = 5  # named in a prompt; all are scored


@dataclass(frozen=True)
class Question:
    """What is asked, whatever the words: the category at a level, what is sold, what it has, or one property."""

    family: Family
    level: int = 0  # of `is`, from 1
    about: str = ""  # the property's id, of `property`

    @property
    def name(self) -> str:
        """`is:2`, `sold`, `has` or `property:colour`."""
        match self.family:
            case "is":
                return f"is:{self.level}"
            case "property":
                return f"property:{self.about}"
            case _:
                return self.family


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str
    product: str
    unknown: str
    titles: Mapping[Named, tuple[str, ...]] = {}
    families: Mapping[Family, tuple[str, ...]]


class PromptBook:
    """The phrasings of every language there is a file for."""

    def __init__(self, files: Sequence[_File]) -> None:
        self.files = {file.language: file for file in files}

    @classmethod
    def load(cls, folder: Path | None = None) -> PromptBook:
        """The prompt files of that folder (`prompts/` by default). Raises CatalogError naming every fault of a file."""
        return cls([_read(path) for path in sorted((folder or resource_dir("prompts")).glob("*.yaml"))])

    def languages(self, ontology: Ontology) -> tuple[str, ...]:
        """Languages that have both phrasings and a name for every property of the ontology; English comes first.

        English always counts: an id stands in for a name that is missing.
        """
        full = [code for code in self.files if all(p.name(code) for p in ontology.properties if p.kind == CHOICE)]
        return tuple(dict.fromkeys(("en", *sorted(full))))

    def phrasings(
        self, question: Question, ontology: Ontology, language: str = "en", category: Sequence[str] = ()
    ) -> list[str]:
        """Every phrasing of a question, filled in; `category` (a path) takes the place of the general noun."""
        file = self.files[language]
        prop = ontology.property(question.about)
        node = ontology.category(category) if category else None
        fill = {
            "product": file.product if node is None else (node.name(language) or node.path[-1]).lower(),
            "level": str(question.level),
            "property": "" if prop is None else (prop.name(language) or prop.id).lower(),
            "candidates": ""
            if prop is None
            else ", ".join([*((v.name(language) or v.id).lower() for v in _frequent(prop)), file.unknown]),
        }
        return [phrasing.format(**fill) for phrasing in file.families[question.family]]

    def titles(self, label: str, prop: Property | None, language: str = "en") -> list[str]:
        """A value of the property, or a category where that is None, as titles would name it; CLIP's templates.

        A language without a file, or whose file has none, gives the label alone.
        """
        file = self.files.get(language)
        templates = () if file is None else file.titles.get("category" if prop is None else "value", ())
        if file is None or not templates:
            return [label]
        about = "" if prop is None else (prop.name(language) or prop.id).lower()
        return [template.format(label=label, product=file.product, property=about) for template in templates]

    def unknown(self, language: str) -> str:
        """The word for `unknown`."""
        return self.files[language].unknown

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """Every phrasing with its places left empty: what a tokenizer should know."""
        plain = [
            phrasing.format(product=file.product, level="1 2 3", property="", candidates=file.unknown)
            for file in self.files.values()
            for phrasings in file.families.values()
            for phrasing in phrasings
        ]
        return tuple(text.replace(SLOT, " ") for text in plain)


def _frequent(prop: Property) -> list[Value]:
    return sorted(prop.values, key=lambda value: (-value.count, value.id))[:MAX_CANDIDATES]


def questions_of(ontology: Ontology) -> tuple[Question, ...]:
    """What tagging asks: the category level by level, then every property whose value is chosen from a list."""
    depth = max((len(category.path) for category in ontology.categories), default=0)
    levels = tuple(Question("is", level=level) for level in range(1, depth + 1))
    return (*levels, *(Question("property", about=name) for name in ontology.values()))


def _read(path: Path) -> _File:
    try:
        file = _File.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except (yaml.YAMLError, ValueError, RecursionError) as fault:  # a fault of validation is a ValueError
        raise CatalogError(f"the prompt file {path} cannot be used: {' '.join(str(fault).split())[:500]}") from None
    if faults := _faults(file):
        raise CatalogError(f"the prompt file {path} cannot be used: {'; '.join(faults)}")
    return file


def _faults(file: _File) -> list[str]:
    faults = [f"the family {name!r} has no phrasing" for name in FAMILIES if not file.families.get(name)]
    for name, phrasings in file.families.items():
        for phrasing in phrasings:
            faults += [f"{phrasing!r} {fault}" for fault in _phrasing_faults(name, phrasing)]
    for named, templates in file.titles.items():
        for template in templates:
            wanted = TITLE_PLACEHOLDERS[named]
            faults += [f"{template!r} {fault}" for fault in _brace_faults(template, named, wanted, {"label"})]
    return faults


def _phrasing_faults(family: Family, phrasing: str) -> Iterator[str]:
    if phrasing.count(SLOT) != 1:
        yield f"has {phrasing.count(SLOT)} slots, exactly one {SLOT} was wanted"
    yield from _brace_faults(phrasing, family, PLACEHOLDERS[family], MUST_HOLD[family])


def _brace_faults(phrasing: str, family: str, known: set[str], must_hold: set[str]) -> Iterator[str]:
    try:
        pieces = list(string.Formatter().parse(phrasing))
    except ValueError as fault:
        yield f"has braces that do not pair ({fault}); write {{{{ or }}}} for one that is meant"
        return
    placeholders = {placeholder for _, placeholder, _, _ in pieces if placeholder is not None}
    if odd := placeholders - known:
        yield f"holds {{{sorted(odd)[0]}}}, which {family!r} does not fill"
    for _, placeholder, form, conversion in pieces:
        if form or conversion:
            yield f"gives {placeholder} a format; write {{{placeholder}}} alone"
    if lacking := must_hold - placeholders:
        yield f"does not hold {{{sorted(lacking)[0]}}}"
