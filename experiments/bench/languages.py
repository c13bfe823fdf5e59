"""Titles in other languages: 200 test titles of the English shop as shops elsewhere would write them.

    python experiments/bench/languages.py --data $SHOPVL_DATA --out experiments/results/languages.json

The words are those of `languages.json`: one translation per word, by another hand than the names and synonyms that a
model is trained with. Each language has two ways to order them. What no list has stays, as brands and models do.
Every language has the same products, so that its figures stand beside the English ones; answers are those of the title
alone, and of both. `uk`: of Ukrainian `titles` of other shops, which no model is taught, the `products` that are
read by their title at all, and what is accepted of them.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import torch
from outside import SMALL, by_question, lines, outside, read

from shopvl.catalog.cells import folded
from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design
from shopvl.paths import SHIPPED
from shopvl.tracking.provenance import write_result

HERE = Path(__file__).parent
ROWS, SEED = 200, 20
LONGEST = 4  # words of a phrase
NAMES = ("category", "colour", "gender", "usage")
INPUTS = ("title", "image+title")
# B brand, T type, R rest, W other words, C colour, G audience; both orders are taken in turn
ORDERS: Mapping[str, tuple[str, str]] = {
    "de": ("{B} {G} {T} {R} {W} {C}", "{B} {T} {R} für {G}, {C} {W}"),
    "fr": ("{T} {B} {R} {W} pour {G} - {C}", "{B} - {T} {G} {C} {W} {R}"),
    "es": ("{T} {B} {R} {W} para {G}, {C}", "{B} {T} {C} de {G} {W} {R}"),
    "it": ("{B} {T} da {G} {R} {W} {C}", "{T} {C} {W} {G} {B} {R}"),
    "pt": ("{T} {W} {G} {B} {R} {C}", "{B} {T} {C} de {G} {W} {R}"),
    "nl": ("{B} {T} voor {G} {R} {W} - {C}", "{B} {G} {T} {C} {W} {R}"),
    "zh-Hant": ("{B} {R} {C}{W}{G}{T}", "{B} {G}{W}{T} {C} {R}"),
}
FOR_ALL = {"unisex", "unissexo", "mixte"}  # "para unisex" is not said
Words = Mapping[str, Sequence[str]]  # English phrase -> kind, and its word per language of ORDERS


def translated(title: str, language: str, order: int, words: Words) -> str:
    """The title in that language."""
    column = 1 + list(ORDERS).index(language)
    said: dict[str, list[str]] = {kind: [] for kind in "BTRWCG"}
    tokens, start = title.split(), 0
    while start < len(tokens):
        for size in range(min(LONGEST, len(tokens) - start), 0, -1):
            entry = words.get(folded(" ".join(tokens[start : start + size])))
            if entry is not None:
                said[entry[0]].append(entry[column])
                start += size
                break
        else:
            said["R" if any(said[kind] for kind in "TWCG") else "B"].append(tokens[start])
            start += 1
    return _written(ORDERS[language][order], said, language)


def _written(order: str, said: Mapping[str, list[str]], language: str) -> str:
    """The words in that order; colours agree with the noun, `word:f` (feminine) or `word:mp` (masculine plural)."""
    nouns = dict(noun.partition(":")[::2] for noun in said["T"])
    form = next(iter(nouns.values()), "")
    parts = {kind: " ".join(dict.fromkeys(filter(None, words))) for kind, words in said.items()}
    colours = [_agreeing(colour, form, language) for colour in said["C"]]
    parts |= {"T": " ".join(nouns), "C": " ".join(dict.fromkeys(colours))}
    if not parts["G"] or parts["G"].casefold() in FOR_ALL:
        order = re.sub(r"(für|pour|para|da|de|voor) \{G\}", "{G}", order)
    text = " ".join(order.format(**parts).split()).replace(" ,", ",")
    return re.sub(r"( -|,)+$|^- |(?<= -) -", "", text.strip())


def _agreeing(colour: str, form: str, language: str) -> str:
    """The masculine or feminine of a colour, in the plural where its noun is."""
    masculine, _, feminine = colour.partition("/")
    word = feminine if feminine and form.startswith("f") else masculine
    if masculine == feminine or not form.endswith("p"):
        return word
    if language == "it":
        stem = word[:-1] + ("h" if word[-2] == "c" else "")  # bianca, bianche
        return stem + "e" if word.endswith("a") else stem.removesuffix("i") + "i"
    return word if word.endswith("s") else word + "s"


def measured(design: Design, data: Path, split: str) -> dict[str, Any]:
    """Figures by language, and what is accepted of Ukrainian titles."""
    words = json.loads((HERE / "languages.json").read_text("utf-8"))
    rows = pl.concat(open_catalog(data / SMALL, split=split).batches()).filter(pl.col("title").is_not_null())
    rows = rows.sample(ROWS, seed=SEED, shuffle=True)
    found: dict[str, Any] = {"en": _figures(design, rows)}
    for language in ORDERS:
        titles = [translated(title, language, number % 2, words) for number, title in enumerate(rows["title"])]
        told = rows.with_columns(pl.Series("title", titles))
        found[language] = {"titles": "; ".join(titles[:10])} | _figures(design, told)
    shops = pl.concat(open_catalog(data / "other-shops.parquet", required=()).batches())
    ukrainian = shops.filter(pl.col("title").str.contains(r"\p{Cyrillic}"))
    cyrillic, alone = read(design, [ukrainian]), pl.col("inputs") == "title"
    answered = by_question(cyrillic.answers.filter(alone), NAMES)
    found["uk"] = {"titles": ukrainian.height} | outside(cyrillic, alone) | answered
    return found


def _figures(design: Design, rows: pl.DataFrame) -> dict[str, Any]:
    answers = read(design, [rows]).answers
    return by_question(answers.filter(pl.col("inputs").is_in(INPUTS)), NAMES)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--split", default="test", choices=("val", "test"))
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    design = Design.from_pretrained(args.model)
    found = {
        "split": args.split,
        "rows": ROWS,
        **measured(design, args.data, args.split),
    }
    write_result(args.out, found, model=design.name, data=[args.data / SMALL])
    print(*lines(found), sep="\n")


if __name__ == "__main__":
    main()
