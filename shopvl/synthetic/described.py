"""What sellers tell of drawn products besides: a description in HTML, measures, compositions, brands of a long tail.

Everything is stated as sellers do: in other units, in the title or between sentences that say something else, or not at
all. A third of the test products are of brands that no other split has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape

import numpy as np

from shopvl.synthetic.measures import (
    BLENDS,
    COMPOSITION,
    COMPOSITION_NAMES,
    FEATURES,
    FEATURES_NAME,
    MEASURES,
    NOISE,
    OF_CLOTH,
    Measure,
    brand_name,
)
from shopvl.synthetic.vocabulary import COLOURS

COMMON_BRANDS, NEW_BRANDS = 1500, 200  # of all splits, the most with few products; of the test split alone
NEW_BRAND_SHARE = 0.35  # of the test split's products
STATED, DESCRIBED = 0.92, 0.93  # share of measures that a text states; of products that have a description
GERMAN_SHARE = 0.15  # of descriptions of products with an English title
FORGOTTEN = 0.1  # share of measures that the seller left out of the attributes

ENGLISH, GERMAN, CHINESE = 0, 1, 2


@dataclass(frozen=True)
class ToldText:
    """What is told of one product in one language: its title, its description (HTML, or nothing), and which properties
    these state."""

    title: str
    description: str = ""
    stated: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Drawn:
    """A measure's numbers in the unit that the seller writes, and its true value in the property's own."""

    measure: Measure
    numbers: tuple[float, ...]
    unit: str
    value: str


@dataclass(frozen=True)
class Measured:
    """What is measured of one product, and what it is made of: (material, share in percent)."""

    drawn: tuple[Drawn, ...] = ()
    shares: tuple[tuple[str, int], ...] = ()
    colours: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    filled: frozenset[str] = frozenset()  # properties that the seller filled in

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """All of it, true; a property with several values comes several times."""
        made_of = ((COMPOSITION, ", ".join(f"{share}% {name}" for name, share in self.shares)),) if self.shares else ()
        several = [(name, value) for name, values in self.several.items() for value in values]
        return (*((one.measure.name, one.value) for one in self.drawn), *made_of, *several)

    @property
    def several(self) -> dict[str, tuple[str, ...]]:
        """Properties that have several values."""
        return {"Colour": self.colours, FEATURES_NAME: self.features} if self.colours else {}

    @property
    def attributes(self) -> tuple[tuple[str, str], ...]:
        """Of it, what the seller filled in."""
        return tuple(pair for pair in self.facts if pair[0] in self.filled)


def brand_of(split: str, rng: np.random.Generator) -> str:
    """A brand: a few have many products, most have few; some that only the test split has."""
    if split == "test" and rng.random() < NEW_BRAND_SHARE:
        return brand_name(COMMON_BRANDS + int(rng.integers(NEW_BRANDS)))
    return brand_name(min(COMMON_BRANDS - 1, int(COMMON_BRANDS * rng.random() ** 2.2)))


def is_new(brand: str) -> bool:
    """Whether only the test split has the brand."""
    return brand in _new_brands() and brand not in _common_brands()


@cache
def _common_brands() -> frozenset[str]:
    return frozenset(map(brand_name, range(COMMON_BRANDS)))


@cache
def _new_brands() -> frozenset[str]:
    return frozenset(brand_name(COMMON_BRANDS + number) for number in range(NEW_BRANDS))


def measured(kind: str, material: str, colours: tuple[str, ...], rng: np.random.Generator) -> Measured:
    """Measures of a product of that type and those colours, its features, and its composition where it is of cloth."""
    drawn = tuple(_drawn(measure, kind, rng) for measure in MEASURES if kind in measure.of)
    shares = tuple(_composition(material, rng)) if kind in OF_CLOTH else ()
    names = [*(one.measure.name for one in drawn), COMPOSITION, "Colour", FEATURES_NAME]
    filled = frozenset(name for name in names if rng.random() >= FORGOTTEN)
    features = rng.choice(FEATURES, size=int(rng.integers(0, 5)), replace=False).tolist()
    return Measured(drawn, shares, colours, tuple(features), filled)


def told_of(title: str, brand: str, about: Measured, *, chinese: bool, rng: np.random.Generator) -> ToldText:
    """Title and description of a product whose title says nothing of its measures yet."""
    language = CHINESE if chinese else GERMAN if rng.random() < GERMAN_SHARE else ENGLISH
    described = rng.random() < DESCRIBED
    lines: list[str] = []
    stated: set[str] = set()
    for one in about.drawn:
        if rng.random() >= STATED:
            continue
        words = _words(one, language)
        if one.measure.title and language == ENGLISH and rng.random() < 0.3:
            title = f"{title}, {one.measure.title.format(**words)}"
            stated.add(one.measure.name)
        elif described:
            lines.append(_line(one.measure, words, language, rng))
            stated.add(one.measure.name)
    title, colours, all_named = _coloured(title, about.colours, rng)
    if all(colour in title for colour in about.colours) or (described and all_named):
        stated.add("Colour")
    if described:
        lines += [*colours, *_featured(about.features, rng)]
        stated.add(FEATURES_NAME)
    if about.shares and described and rng.random() < STATED:
        lines.append(_composed(about.shares, language, rng))
        stated.add(COMPOSITION)
    return ToldText(title, _page(lines, brand, rng) if described else "", frozenset(stated))


def _drawn(measure: Measure, kind: str, rng: np.random.Generator) -> Drawn:
    low, high = measure.of[kind]
    first = low + measure.step * int(rng.integers(round((high - low) / measure.step) + 1))
    numbers = [first]
    if measure.width is not None:
        narrow, wide = measure.width
        numbers.append(first + narrow + measure.step * int(rng.integers(round((wide - narrow) / measure.step) + 1)))
    unit, factor = measure.unit, 1.0
    if measure.others and rng.random() < 0.25:
        unit = str(rng.choice(list(measure.others)))
        factor = measure.others[unit]
    # what is written is what was measured: the true value follows from it
    written = [round(number * factor, 1 if unit in ("in", "mm") else 3) for number in numbers]
    true = "-".join(f"{round(number / factor, 4):g}" for number in written)
    return Drawn(measure, tuple(written), unit, f"{true} {measure.unit}")


def _words(drawn: Drawn, language: int) -> dict[str, str]:
    numbers = [f"{number:g}" for number in drawn.numbers]
    if language == GERMAN:
        numbers = [number.replace(".", ",") for number in numbers]
    unit = {"l": "L", "in": '"' if drawn.numbers[0] % 1 else "in"}.get(drawn.unit, drawn.unit)
    if drawn.unit == "pcs":
        unit = ("pcs", "Stück", "件")[language]
    close = unit == '"' or language == CHINESE or (unit in ("ml", "mm") and drawn.numbers[0] % 2 == 0)
    joined = "-".join(numbers)
    return {
        "n": f"{joined}{unit}" if close else f"{joined} {unit}",
        "i": numbers[0],
        "a": numbers[0],
        "b": f"{numbers[-1]} {unit}",
    }


def _line(measure: Measure, words: Mapping[str, str], language: int, rng: np.random.Generator) -> str:
    name = (measure.name, *measure.names)[language]
    if language == CHINESE:
        return f"{name}：{words['n']}"
    if language == GERMAN:
        return f"{name}{rng.choice([': ', ' ca. ', ' '])}{words['n']}"
    if measure.phrases and rng.random() < 0.6:
        return str(rng.choice(measure.phrases)).format(**words)
    return f"{name}{rng.choice([': ', ' ', ': approx. ', ' = '])}{words['n']}"


def _composition(material: str, rng: np.random.Generator) -> list[tuple[str, int]]:
    if rng.random() < 0.35:
        return [(material, 100)]
    others = [name for name in BLENDS if name != material]
    blend = str(rng.choice(others))
    small = int(rng.choice((2, 3, 5, 8, 10, 20, 30, 40, 45)))
    if small > 9 and rng.random() < 0.3:
        third = str(rng.choice([name for name in others if name != blend]))
        return [(material, 100 - small), (blend, small - 3), (third, 3)]
    return [(material, 100 - small), (blend, small)]


def _composed(shares: Sequence[tuple[str, int]], language: int, rng: np.random.Generator) -> str:
    sign = "% " if language != GERMAN else " % "
    ahead = rng.random() < 0.8
    parts = [f"{share}{sign}{name}" if ahead else f"{name} {share}%" for name, share in shares]
    text = str(rng.choice([", ", " / ", ", "])).join(parts)
    name = (COMPOSITION, *COMPOSITION_NAMES)[language]
    lead = str(rng.choice([f"{name}: ", "", "Outer: ", "Made of "] if language == ENGLISH else [f"{name}: "]))
    lining = "; lining: 100% Polyester" if rng.random() < 0.15 else ""
    return f"{lead}{text}{lining}"


def _coloured(title: str, colours: Sequence[str], rng: np.random.Generator) -> tuple[str, list[str], bool]:
    """The title with both colours, now and then; lines of a description that name them, or another product's; whether
    they name all."""
    lines: list[str] = []
    if len(colours) > 1 and colours[0] in title and rng.random() < 0.6:
        joined = str(rng.choice(["/", " & ", " and "])).join(colours)
        title = title.replace(colours[0], joined, 1)
    if all_named := bool(rng.random() < STATED):
        all_of_them = " and ".join(colours)
        lines.append(
            str(rng.choice([f"Colour: {', '.join(colours)}", f"In {all_of_them}.", f"Comes in {all_of_them}"]))
        )
    if rng.random() < 0.25:
        other = str(rng.choice([name for name in COLOURS if name not in colours]))
        lines.append(
            str(
                rng.choice([f"Also available in {other}.", f"Goes well with {other} shoes", f"See it in {other}, too."])
            )
        )
    return title, lines, all_named


def _featured(features: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Lines that name the features, and now and then one that it has not."""
    lines = []
    if features and rng.random() < 0.4:
        lines.append(f"Features: {', '.join(features)}")
    else:
        lines += [str(rng.choice([f"{one}.", f"It is {one.lower()}", one])) for one in features]
    if rng.random() < 0.2:
        other = str(rng.choice([name for name in FEATURES if name not in features])).lower()
        lines.append(str(rng.choice([f"Not {other}.", f"This model is not {other}"])))
    return lines


def _page(lines: Sequence[str], brand: str, rng: np.random.Generator) -> str:
    """Lines between others that say nothing of the product's measures, as a page has them."""
    picked = rng.choice(NOISE, size=int(rng.integers(2, 6)), replace=False).tolist()
    noise = [
        line.format(
            a=int(rng.integers(168, 190)),
            b=int(rng.integers(25, 60)),
            c=int(rng.integers(15, 40)),
            d=int(rng.integers(5, 20)),
            e=int(rng.integers(300, 3000)),
            f=int(rng.integers(14, 100)),
            g=int(rng.integers(5, 60)),
            h=int(rng.choice((30, 40, 60))),
            i=int(rng.integers(1, 10)),
            y=int(rng.integers(1950, 2020)),
        )
        for line in picked
    ]
    if brand and rng.random() < 0.3:
        noise.append(f"A classic by {brand}.")
    every = [escape(line, quote=False) for line in (*lines, *noise)]
    order = rng.permutation(len(every))
    every = [every[place] for place in order]
    match int(rng.integers(4)):
        case 0:
            return "<p>" + "</p><p>".join(every) + "</p>"
        case 1:
            return f"<p>{every[0]}</p><ul>" + "".join(f"<li>{line}</li>" for line in every[1:]) + "</ul>"
        case 2:
            return "<br/>".join(every)
        case _:
            return " ".join(line if line.endswith((".", "。")) else f"{line}." for line in every)
