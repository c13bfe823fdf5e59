"""Titles and queries in English and Chinese, as sellers and shoppers write them."""

from collections.abc import Mapping

import numpy as np

from shopvl.synthetic.assortment import KIND_OF, Kind
from shopvl.synthetic.vocabulary import zh_name

_PUFF_EN = ("New", "Classic", "Premium", "Everyday", "Essential", "Original", "Modern", "Signature")
_PUFF_ZH = ("新款", "经典", "百搭", "高品质", "时尚", "简约", "潮流", "舒适")
_ADJECTIVES = ("Pattern", "Sleeve", "Neck", "Length", "Fit", "Heel", "Height", "Closure", "Strap", "Frame", "Shape")
_LATE = ("Dial", "Buckle", "Pom-pom", "Style", "Metal", "Back", "Material")


def titles(kind_name: str, values: Mapping[str, str], rng: np.random.Generator) -> tuple[str, str]:
    """An English and a Chinese title of one product; both mention the same facts, and not all of them."""
    kind = KIND_OF[kind_name]
    mentioned = {name: value for name, value in values.items() if _is_mentioned(name, value, rng)}
    puff = int(rng.integers(len(_PUFF_EN))) if rng.random() < 0.3 else None
    colour_last = rng.random() < 0.2
    return _english(kind, mentioned, puff, colour_last), _chinese(kind, mentioned, puff)


def _is_mentioned(name: str, value: str, rng: np.random.Generator) -> bool:
    """Sellers name the brand nearly always, the colour mostly, the rest as they please."""
    chance = {
        "Brand": 0.95,
        "Colour": 0.75,
        "Gender": 0.85,
        "Pattern": 0.6,
        "Material": 0.35,
        "Season": 0.15,
        "Usage": 0.3,
    }
    if value == "Solid":
        return bool(rng.random() < 0.12)
    return bool(rng.random() < chance.get(name, 0.55))


def _english(kind: Kind, mentioned: Mapping[str, str], puff: int | None, colour_last: bool) -> str:
    words = [mentioned.get("Brand", ""), _PUFF_EN[puff] if puff is not None else "", mentioned.get("Gender", "")]
    words += [mentioned.get("Season", ""), mentioned.get("Usage", "")]
    words += [] if colour_last else [mentioned.get("Colour", "")]
    words += [_english_value(name, mentioned[name]) for name in (*_ADJECTIVES, *_LATE) if name in mentioned]
    words.append(kind.singular)
    if colour_last and "Colour" in mentioned:
        words.append(f"- {mentioned['Colour']}")
    return " ".join(word for word in words if word)


def _english_value(name: str, value: str) -> str:
    """How a value reads before the noun."""
    if name == "Sleeve":
        return value.removesuffix("s") if value.endswith("Sleeves") else value
    suffix = {"Heel": "Heel", "Strap": "Strap", "Dial": "Dial", "Frame": "Frame", "Back": "Back"}.get(name, "")
    return value if not suffix or value.endswith((suffix, "Handle")) or value == "Flat" else f"{value} {suffix}"


def part_words(name: str, about: str, values: Mapping[str, str]) -> str:
    """What a shopper calls a part of that name, which shows the property `about`: `long sleeve`, `zip`, `pocket`."""
    value = values.get(about, "")
    words, stem = _english_value(about, value).lower(), name.removesuffix("s")
    if not value or value.startswith("With ") or words.startswith(stem):
        return name
    return words if stem in words else f"{words} {name}"


def _chinese(kind: Kind, mentioned: Mapping[str, str], puff: int | None) -> str:
    order = ("Brand", "Gender", "Season", "Usage", "Colour", *_ADJECTIVES, *_LATE)
    words = [zh_name(name, mentioned[name]) for name in order if name in mentioned]
    if puff is not None:
        words.insert(1 if "Brand" in mentioned else 0, _PUFF_ZH[puff])
    return " ".join([*words, kind.zh])


def queries(kind_name: str, values: Mapping[str, str], rng: np.random.Generator) -> tuple[str, ...]:
    """Two to four things a shopper who wants this product might type, English and Chinese mixed."""
    kind = KIND_OF[kind_name]
    made: list[str] = []
    for _ in range(int(rng.integers(2, 5))):
        facts = _wanted(values, rng)
        made.append(_query_zh(kind, facts, rng) if rng.random() < 0.35 else _query_en(kind, facts, rng))
    return tuple(dict.fromkeys(made))


def _wanted(values: Mapping[str, str], rng: np.random.Generator) -> dict[str, str]:
    """One or two facts, colour first of all."""
    names = [name for name, value in values.items() if value not in ("Solid", "Unisex") and name != "Season"]
    weights = np.array([3.0 if n == "Colour" else 1.5 if n in _ADJECTIVES else 0.7 for n in names])
    count = min(int(rng.choice((0, 1, 2, 3), p=(0.08, 0.42, 0.38, 0.12))), len(names))
    picked = rng.choice(len(names), size=count, replace=False, p=weights / weights.sum())
    return {names[i]: values[names[i]] for i in sorted(picked.tolist())}


def _query_en(kind: Kind, facts: Mapping[str, str], rng: np.random.Generator) -> str:
    noun = kind.singular if rng.random() < 0.7 else kind.synonyms[0]
    late = [facts[n] for n in ("Gender",) if n in facts and rng.random() < 0.5]
    early = [_english_value(n, v) for n, v in facts.items() if v not in late]
    text = " ".join([*early, noun]) + (f" for {late[0]}" if late else "")
    return text.lower()


def _query_zh(kind: Kind, facts: Mapping[str, str], rng: np.random.Generator) -> str:
    words = [zh_name(name, value) for name, value in facts.items()]
    return (" " if rng.random() < 0.3 else "").join([*words, kind.zh])
