"""What is measured of drawn products, and the phrases that say so, in English, German and Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np

Span = tuple[float, float]


@dataclass(frozen=True)
class Measure:
    """Something that some product types have a number of, or a range of numbers."""

    name: str
    names: tuple[str, str]  # in German and Chinese
    unit: str
    step: float
    of: Mapping[str, Span]  # product type -> from and to
    phrases: tuple[str, ...] = ()  # English ones besides `Name: NUMBER`
    title: str = ""  # how a title says it, where titles do
    width: Span | None = None  # of a range: how far its ends are apart
    others: Mapping[str, float] = field(default_factory=dict)  # other units that sellers write -> how many make one


_INCH, _LENGTHS = 1 / 2.54, {"mm": 10.0, "in": 1 / 2.54}

MEASURES = (
    Measure(
        "Heel height",
        ("Absatzhöhe", "跟高"),
        "cm",
        0.5,
        {"Heels": (4, 12), "Boots": (2, 9), "Sandals": (1, 9)},
        ("With a {n} heel.", "The heel is {n} high.", "{n} heel, leather sole"),
        "{n} Heel",
        others=_LENGTHS,
    ),
    Measure(
        "Shaft height",
        ("Schafthöhe", "筒高"),
        "cm",
        1,
        {"Boots": (12, 45)},
        ("The shaft measures {n}.", "{n} shaft", "Shaft measures {n} from arch"),
        others=_LENGTHS,
    ),
    Measure(
        "Item length",
        ("Gesamtlänge", "衣长"),
        "cm",
        1,
        {"T-shirts": (58, 80), "Shirts": (62, 84), "Sweaters": (55, 78), "Coats": (80, 130), "Dresses": (80, 150)},
        ("{n} long.", "Length from shoulder to hem: {n}", "It is {n} long in size M."),
        others=_LENGTHS,
    ),
    Measure(
        "Volume",
        ("Fassungsvermögen", "容量"),
        "l",
        0.05,
        {"Mugs": (0.2, 0.6), "Vases": (0.5, 3)},
        ("Holds {n}.", "{n} capacity", "Room for {n} inside"),
        "{n}",
        others={"ml": 1000.0},
    ),
    Measure(
        "Capacity",
        ("Volumen", "容积"),
        "l",
        1,
        {"Backpacks": (12, 45), "Handbags": (3, 15)},
        ("Holds {n}.", "{n} capacity", "Room for {n} inside"),
        "{n}",
    ),
    Measure(
        "Weight",
        ("Gewicht", "重量"),
        "g",
        10,
        {"Backpacks": (300, 1900), "Sneakers": (240, 900), "Boots": (700, 1900), "Lamps": (600, 5000)},
        ("Weighs only {n}.", "{n} light", "It weighs {n}."),
        others={"kg": 0.001},
    ),
    Measure(
        "Pack size",
        ("Packungsgröße", "件数"),
        "pcs",
        1,
        {"Socks": (2, 9), "Mugs": (2, 6), "Cushions": (2, 4)},
        ("Pack of {i}.", "Comes as a set of {i}", "You get {i} pieces."),
        "Pack of {i}",
    ),
    Measure(
        "Case diameter",
        ("Gehäusedurchmesser", "表盘直径"),
        "mm",
        1,
        {"Watches": (26, 48)},
        ("{n} case.", "A slim case, {n} across", "The case measures {n}."),
        "{n}",
    ),
    Measure(
        "Diameter",
        ("Durchmesser", "直径"),
        "cm",
        1,
        {"Wall Clocks": (18, 48), "Vases": (8, 24)},
        ("{n} across.", "{n} in diameter", "Measures {n} across."),
        others=_LENGTHS,
    ),
    Measure(
        "Seat height",
        ("Sitzhöhe", "座高"),
        "cm",
        1,
        {"Chairs": (40, 50)},
        ("You sit {n} high.", "The seat is {n} above the floor."),
        others=_LENGTHS,
    ),
    Measure(
        "Waist",
        ("Bundweite", "腰围"),
        "cm",
        2,
        {"Jeans": (62, 104), "Shorts": (62, 104), "Skirts": (60, 96)},
        ("Fits a waist of {n}.", "For a waist between {a} and {b}", "To fit waists from {a} to {b}."),
        width=(4, 10),
    ),
    Measure(
        "Strap length",
        ("Riemenlänge", "肩带长度"),
        "cm",
        5,
        {"Handbags": (50, 90), "Backpacks": (40, 70)},
        ("The strap adjusts from {a} to {b}.", "Strap {n}, adjustable"),
        width=(15, 60),
    ),
)

NOISE = (
    "Our model is {a} cm tall and wears size M.",
    "The model on the photo is {a} cm tall.",
    "Shipped in a box of {b} x {c} x {d} cm.",
    "Parcel weight: {e} g",
    "Free returns within {f} days.",
    "{g}% of our parcels arrive the next day.",
    "Wash at {h} °C.",
    "2 year warranty.",
    "Rated 4.{i} out of 5.",
    "Art. no. {e}{f}",
    "Save {g}% with our newsletter.",
    "Zip by YKK.",
    "Designed in Porto.",
    "Designed to last, easy to care for.",
    "A favourite of our customers since {y}.",
    "Goes with everything you own.",
    "Made in small batches by people who are paid fairly.",
)
BLENDS = ("Elastane", "Viscose", "Nylon", "Acrylic", "Recycled Polyester", "Modal", "Cashmere", "Hemp")
OF_CLOTH = frozenset({"T-shirts", "Shirts", "Sweaters", "Hoodies", "Coats", "Dresses", "Skirts", "Jeans", "Shorts"}) | {
    *("Socks", "Scarves", "Ties", "Beanies", "Cushions")
}
FEATURES_NAME = "Features"
FEATURES = (
    *("Waterproof", "Breathable", "Machine Washable", "Lined", "Quick Dry", "Reflective", "Padded", "Foldable"),
    *("Hand Made", "Vegan"),
)
COMPOSITION, COMPOSITION_NAMES = "Composition", ("Zusammensetzung", "成分")
_SYLLABLES = (
    *("va", "lo", "ni", "ker", "ma", "sto", "ri", "el", "do", "fen", "ar", "ti", "go", "lum", "sa", "be", "zo", "han"),
    *("mi", "que", "tor", "ul", "ne", "pri", "ko", "ly", "das", "wen"),
)
_SECOND = ("Studio", "Lane", "& Sons", "Atelier", "Works", "Lab", "& Tal", "Supply")


@cache
def brand_name(number: int) -> str:
    """The made-up brand of that number: one or two words, some in capitals."""
    rng = np.random.default_rng([77, number])
    name = "".join(rng.choice(_SYLLABLES, size=int(rng.integers(2, 4)))).capitalize()
    if rng.random() < 0.12:
        name = name.upper()
    return f"{name} {rng.choice(_SECOND)}" if rng.random() < 0.25 else name
