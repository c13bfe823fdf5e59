"""Titles that the picture or the catalog's own values deny, and titles that leave out what others say.

A model answers from the title alone and from the picture alone. Where both answers would be accepted by themselves and
differ, one of the two inputs is wrong of the product; so is the title or the value, where the title's accepted answer
is not the value that the catalog has. A title leaves a property out where it names no value of it, though the value is
known and most titles of the catalog name theirs. What the filter of CapFilt (arXiv:2201.12086) asks of a caption,
whether it fits its picture, is asked property by property, so that it can be mended.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shopvl.batch import MODALITIES, Modality
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.queries import facts_by_name
from shopvl.catalog.readers import Catalog
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN, DEFAULT_PRECISION
from shopvl.data.judging import holds
from shopvl.data.rows import Row
from shopvl.design.design import Design
from shopvl.design.in_use import in_use
from shopvl.errors import CatalogError
from shopvl.files import atomic_write
from shopvl.inference.encode import Encoded, encode
from shopvl.inference.features import label_number
from shopvl.inference.tag_rows import HeadAnswers
from shopvl.review.sheet import write_csv

CELLS = ("product_id", "title", "title_says", "denied_by", "probability", "leaves_out")
USUAL = 0.5  # share of titles that name a value of the property, from which on one that does not leaves it out
SHOP = "catalog"  # the witness beside the picture

Accepted = Mapping[str, tuple[str, float]]  # property -> value, and its probability


@dataclass(frozen=True)
class Denial:
    """What a title says of a property, and what else is said of it, by the picture or the catalog."""

    name: str
    said: str
    other: str
    by: str
    probability: float  # of the less sure of both answers; of the title's alone, where the catalog denies it


@dataclass(frozen=True)
class AuditedTitle:
    """A product's title, what denies it, and values that are known of the product and that it does not name."""

    product_id: str
    title: str
    denied: tuple[Denial, ...]
    lacks: Mapping[str, str]
    named: frozenset[str]  # properties of which it names a value
    known: frozenset[str]  # properties of which a value is known, from it or from others

    @property
    def probability(self) -> float:
        """Of the surest denial."""
        return max((one.probability for one in self.denied), default=0.0)


@dataclass
class TitleAudit:
    """How many titles were compared, how many of them something denies, and how many leave something out; the last two
    by property, too."""

    titles: int = 0
    denied: int = 0
    lacking: int = 0
    denials: Counter[str] = field(default_factory=Counter)
    omissions: Counter[str] = field(default_factory=Counter)


def audit_titles(
    design: Design,
    catalog: Catalog,
    out: Path,
    *,
    limit: int,
    report: Callable[[int], None] = lambda rows: None,
) -> TitleAudit:
    """Write the `limit` worst titles of a catalog as CSV: those that are denied first, the surest before others.

    Nothing is written where no title is at fault. Raises CatalogError for a file of another kind, and where no product
    has a title.
    """
    if out.suffix.lower() != ".csv":
        raise CatalogError(f"{out} ends in {out.suffix or 'nothing'}; a sheet of titles is a .csv file")
    done, worst = TitleAudit(), list[tuple[float, int, AuditedTitle]]()
    known, named = Counter[str](), Counter[str]()
    lacking: dict[frozenset[str], tuple[list[AuditedTitle], int]] = {}
    for one in titles_of(design, catalog, report):
        done.titles += 1
        known.update(one.known)
        named.update(one.named)
        if one.denied:
            done.denied += 1
            done.denials.update(denial.name for denial in one.denied)
            entry = (one.probability, -done.titles, one)  # of equals the first
            (heapq.heappush if len(worst) < limit else heapq.heappushpop)(worst, entry)
        if one.lacks:
            kept, count = lacking.setdefault(frozenset(one.lacks), ([], 0))
            lacking[frozenset(one.lacks)] = kept, count + 1
            if len(kept) < limit and not one.denied:
                kept.append(one)
    if not done.titles:
        raise CatalogError(f"no product of {catalog.path} has a title that the model knows, so none can be compared")
    usual = {name for name, count in known.items() if named[name] >= USUAL * count}
    for names, (_, count) in lacking.items():
        done.omissions.update(dict.fromkeys(names & usual, count))
        done.lacking += count if names & usual else 0
    by_gaps = sorted(lacking.items(), key=lambda item: -len(item[0] & usual))
    shown = [one for *_, one in sorted(worst, reverse=True)]
    shown += [one for names, (kept, _) in by_gaps if names & usual for one in kept]
    if shown:
        with atomic_write(out) as draft:
            write_csv(draft, (_cells(one, usual) for one in shown[:limit]), CELLS)
    return done


def titles_of(
    design: Design, catalog: Catalog, report: Callable[[int], None] = lambda rows: None
) -> Iterator[AuditedTitle]:
    """Every title of a catalog that the model knows, beside picture and values of its product."""
    answers, done = HeadAnswers(in_use(design)), 0
    frames = catalog.batches()
    for item in encode(answers.design, frames, catalog.root, MODALITIES, answers.read, pool=answers.pool):
        done += len(item.items) if isinstance(item, Encoded) else 1
        report(done)
        if not isinstance(item, Encoded) or "title" not in item.inputs:
            continue
        said = {one: _accepted(answers, item, one) for one in item.inputs}
        for row in item.rows:
            own = {one: by_product.get(row["product_id"], {}) for one, by_product in said.items()}
            yield _audited(row, own, answers)


def _accepted(answers: HeadAnswers, item: Encoded, one: Modality) -> dict[str, dict[str, tuple[str, float]]]:
    """Product by product the answers that one input gets accepted by itself."""
    accepted: dict[str, dict[str, tuple[str, float]]] = {}
    for row in answers.rows(item.only((one,)), DEFAULT_PRECISION):
        if row["decision"] == "accept" and not row["together"]:
            accepted.setdefault(row["product_id"], {})[row["property"]] = (row["value"], row["probability"])
    return accepted


def _audited(row: Row, said: Mapping[Modality, Accepted], answers: HeadAnswers) -> AuditedTitle:
    ontology = answers.design.ontology
    title, picture = said["title"], said.get("image", {})
    shop = _own_values(row, answers)
    words = _named(row["title"], ontology)
    denied = []
    for name, (value, sure) in title.items():
        spoken = words.get(name, ())
        if name in picture and not _either(picture[name][0], [value, *spoken]):
            denied.append(Denial(name, value, picture[name][0], "picture", min(sure, picture[name][1])))
        # what a model guesses from a brand is nothing that the title says against the shop's own values
        if name in shop and _either(value, spoken) and not _either(shop[name], [value, *spoken]):
            denied.append(Denial(name, value, shop[name], SHOP, sure))
    seen = {name: value for name, (value, _) in picture.items()} | shop
    lacks = {name: value for name, value in seen.items() if name not in words and name not in title}
    known = frozenset(words) | frozenset(title) | frozenset(seen)
    return AuditedTitle(row["product_id"], row["title"], tuple(denied), lacks, frozenset(words), known)


def _own_values(row: Row, answers: HeadAnswers) -> dict[str, str]:
    """The values that the catalog has, of those that the model knows: what it does not, it cannot compare."""
    ontology = answers.design.ontology
    found = {name: label_number(row, name, own, ontology) for name, own in answers.numbers.items()}
    return {name: answers.labels[name][number] for name, number in found.items() if number >= 0}


def _either(value: str, others: Iterable[str]) -> bool:
    """Whether the value holds where one of the others is true."""
    return any(holds(value, other) for other in others)


def _named(title: str, ontology: Ontology) -> dict[str, list[str]]:
    """Property -> the values that a title names."""
    named: dict[str, list[str]] = {}
    for number in {number for group in facts_by_name(title, ontology) for number in group}:
        fact = ontology.facts[number]
        if fact.kind == "category":
            named.setdefault(CATEGORY, []).append(CATEGORY_JOIN.join(fact.path))
        else:
            named.setdefault(fact.property, []).append(fact.value)
    return named


def _cells(one: AuditedTitle, usual: Container[str]) -> dict[str, str]:
    said = dict.fromkeys(f"{denial.name}: {denial.said}" for denial in one.denied)
    return {
        "product_id": one.product_id,
        "title": one.title,
        "title_says": "; ".join(said),
        "denied_by": "; ".join(f"{denial.name}: {denial.other} ({denial.by})" for denial in one.denied),
        "probability": f"{one.probability:.3f}" if one.denied else "",
        "leaves_out": "; ".join(f"{name}: {value}" for name, value in one.lacks.items() if name in usual),
    }
