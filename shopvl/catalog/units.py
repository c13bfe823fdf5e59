"""Units that shops write, what each is of another, and how the words for it are spelled.

A table, and no library of units: shops write `Zoll`, `"`, `公分`, `3er-Pack`. A library that knows physics is slow to
start and reads none of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from shopvl.catalog.cells import folded


@dataclass(frozen=True, slots=True)
class Unit:
    """`factor`: how many of its dimension's first unit it is."""

    name: str
    dimension: str
    factor: float


# Dimension: unit, its factor, and further spellings (of case and width only one need be named)
_TABLE: Mapping[str, tuple[str, ...]] = {
    "length": (
        "cm 1 centimeter centimeters centimetre centimetres centimetres zentimeter centimètre centimètres centímetro "
        "centímetros centimetri centimetro cms 厘米 公分 см",
        "mm 0.1 millimeter millimeters millimetre millimètre millimètres milímetros milimetro 毫米 мм",
        "m 100 meter meters metre metres mètre mètres metro metros metri mtr 米 м",
        "in 2.54 inch inches \" ″ ” “ '' zoll pouce pouces pulgada pulgadas pollici pollice 英寸 寸 дюйм дюймов",
        "ft 30.48 foot feet fuß pied pieds pies 英尺",
        "yd 91.44 yard yards",
    ),
    "mass": (
        "g 1 gram grams gramme grammes gramm gramos grammi gr 克 г гр",
        "mg 0.001 milligram milligrams milligramm 毫克 мг",
        "kg 1000 kilo kilos kilogram kilograms kilogramme kilogrammes kilogramm kilogramos kgs 公斤 千克 кг",
        "oz 28.349523125 ounce ounces unze unzen once onces onzas 盎司",
        "lb 453.59237 lbs pound pounds pfund livres libras 磅",
    ),
    "volume": (
        "l 1 liter liters litre litres ltr litro litros litri 升 公升 л",
        "ml 0.001 milliliter milliliters millilitre millilitres mililitros 毫升 мл",
        "cl 0.01 centiliter centilitre centilitres zentiliter",
        "fl_oz 0.0295735295625 fl.oz fl.oz. floz",
        "gal 3.785411784 gallon gallons",
    ),
    "count": (
        "pcs 1 pc piece pieces stück stk st pièce pièces piezas unidades pezzi pack packs 件 个 只 条 枚 包 шт шт.",
        "pairs 1 pair paar paire paires pares paia 双 对",
    ),
    "area": ("m2 1 m² sqm qm 平方米",),
    "grammage": ("gsm 1 g/m2 g/m² g/qm 克/平方米",),
    "power": ("W 1 watt watts 瓦", "kW 1000 kilowatt kilowatts 千瓦"),
    "voltage": ("V 1 volt volts 伏",),
    "charge": ("mAh 1", "Ah 1000"),
    "energy": ("Wh 1", "kWh 1000"),
    "memory": ("GB 1 gigabyte gigabytes go", "MB 0.001 megabyte megabytes", "TB 1000 terabyte terabytes"),
    "frequency": ("Hz 1 hertz", "kHz 1000", "MHz 1000000", "GHz 1000000000"),
    "resolution": ("MP 1 megapixel megapixels mpx",),
    "temperature": ("°C 1 celsius ℃",),
    "time": (
        "h 1 hour hours hr hrs stunde stunden std heure heures horas 小时 ч",
        "min 0.016666666666666666 minute minutes minuten minutos 分钟",
        "days 24 day tag tage jour jours días 天",
    ),
    "age": (
        "years 1 year yrs yr jahre jahren jahr ans años anni 岁 лет",
        "months 0.08333333333333333 month mths monate monat mois meses mesi 个月",
    ),
    "share": ("% 1 percent prozent ％ pct",),
    "denier": ("den 1 denier 丹尼尔",),
}


@cache
def spellings() -> Mapping[str, Unit]:
    """Folded spelling -> unit. A name that says two things (`m`, `M`) is read as folded."""
    known: dict[str, Unit] = {}
    for dimension, lines in _TABLE.items():
        for line in lines:
            name, factor, *others = line.split(" ")
            unit = Unit(name.replace("_", " "), dimension, float(factor))
            for spelling in (unit.name, *others):
                known.setdefault(folded(spelling), unit)
                known.setdefault(spelling.casefold(), unit)  # as it stands in a text that nobody folded: `″`, `m²`
    return known


def unit_named(text: str) -> Unit | None:
    """The unit that a word is a spelling of."""
    return spellings().get(folded(text))


def unit_names() -> tuple[str, ...]:
    """The names of all units, as an ontology writes them."""
    return tuple(dict.fromkeys(unit.name for unit in spellings().values()))


def converted(number: float, unit: Unit, to: Unit) -> float | None:
    """The number in another unit; None where that is of something else. 3.15 in are 8.001 cm.

    >>> converted(1.5, unit_named("kg"), unit_named("g"))
    1500.0
    """
    if unit.dimension != to.dimension:
        return None
    return float(f"{number * unit.factor / to.factor:.10g}")


def written(number: float) -> str:
    """A number as a value has it: at most four digits behind the point, and none that say nothing.

    >>> written(8.0), written(3.15), written(0.5)
    ('8', '3.15', '0.5')
    """
    return f"{number:.4f}".rstrip("0").rstrip(".")
