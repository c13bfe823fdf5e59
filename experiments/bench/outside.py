"""What a model accepts outside the shop that it was calibrated on: other goods, snapshots, other shops, placeholders.

    python experiments/bench/outside.py --data $SHOPVL_DATA --cases ../shared/cases \\
        --out experiments/results/outside.json

Every file is read once, from picture and title together and from each alone. By kind of rows:

- `goods`, `titles`: products of none of the model's categories, so that no accepted answer is right: the shares of
  products and of answers with one, and by what share of pairs (AUROC) a product of the own shop looks more familiar.
- `inside`: watches and umbrellas of the same set, which the model does know: the share not refused as unfamiliar.
- `snapshots`: phone photos of senders that nothing is learned from. `shops`: other shops by source.
- `fashion`: the own shop, also where the title names no colour; `resplits`: how often a promise is missed where
  thresholds are chosen on one half of it and tried on the other.
- `placeholders`, `words`: pictures that show nothing under good titles, and titles that say nothing under good
  pictures: the share of answers that are those of the other input alone, and of conflicts.

Categories are judged at the deepest node that label and ontology share. `near` is the lowest fifth of what is accepted.
What is chosen by looking at figures is chosen on the validation rows; `--split test` is for the end.
"""

from __future__ import annotations

import argparse
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from sklearn.metrics import roc_auc_score

from shopvl.batch import INPUT_CHOICES, MODALITIES, inputs_name
from shopvl.catalog.cells import folded
from shopvl.catalog.readers import open_catalog
from shopvl.catalog.vocabulary import CATEGORY
from shopvl.data.judging import holds, is_within, true_value
from shopvl.design.design import Design
from shopvl.evaluation.resplits import Resplit, resplit_scores
from shopvl.inference.encode import Encoded, encode
from shopvl.inference.tag_rows import HeadAnswers
from shopvl.metrics.intervals import wilson_lower
from shopvl.paths import SHIPPED
from shopvl.tracking.provenance import write_result

SMALL, LARGE = "fashion-products-small.parquet", "fashion-products-224.parquet"
PRECISION, TWO_SIDED, NEAR = 0.95, 1.96, 0.2
INSIDE, REFUSED = ("watch", "umbrella"), ("input unfamiliar", "input empty")
SENDERS_SHARE = 15  # in 100, of senders to validate on
# Titles of kinds of goods that a fashion shop may have: neither surely inside nor outside.
PERHAPS = {"apparel", "accessories", "footwear", "jewelry", "beauty", "women", "men", "outdoor"}
WORDS = {
    "nan": "nan",
    "SKU": "SKU-48213-XL",
    "file name": "IMG_20230114_093512.jpg",
    "keywords": "shoes, dress, watch, bag, men, women, kids, sale, cheap, new",
}
PLACEHOLDER_ROWS = 60
FAMILIARITY = {"product_id": pl.String, "input": pl.String, "familiarity": pl.Float64}


@dataclass(frozen=True)
class Read:
    """One file's answers, a row each, how familiar its products' inputs are, and how many products have no input."""

    answers: pl.DataFrame
    familiarity: pl.DataFrame
    rejected: int


def read(design: Design, frames: Iterable[pl.DataFrame]) -> Read:
    """Answers from all inputs together and from each alone; the model runs once."""
    said, familiar = list[dict[str, Any]](), []
    heads, number, rejected = HeadAnswers(design), 0, 0
    for item in encode(design, frames, Path(), MODALITIES, heads.read):
        if not isinstance(item, Encoded):
            rejected += 1
            continue
        for single in design.familiarity.keys() & set(item.inputs):
            values = item.values[f"familiarity/{single}"]
            familiar += [(row["product_id"], single, float(v)) for row, v in zip(item.rows, values, strict=True)]
        for choice in INPUT_CHOICES:
            if set(choice) <= set(item.inputs):
                said += _judged(design, item.only(choice), heads, number)
        number += len(item.rows)
    columns = {"row": pl.Int64, "right": pl.Boolean, "best_right": pl.Boolean, "value": pl.String}
    return Read(
        pl.DataFrame(said, infer_schema_length=None, schema_overrides=columns),
        pl.DataFrame(familiar, FAMILIARITY, orient="row"),
        rejected,
    )


def _judged(design: Design, item: Encoded, heads: HeadAnswers, start: int) -> Iterator[dict[str, Any]]:
    """The answers about a batch, each with the truth and whether it is right."""
    answers = iter(heads.rows(item, PRECISION))
    for number, row in enumerate(item.rows):
        for name in design.labels:
            answer = next(answers)
            truth = true_value(row, name, design.ontology)
            best = answer.get("best_guess") or answer["value"]
            yield {
                **{key: row.get(key) for key in ("product_id", "title", "source", "label")},
                "row": start + number,
                "inputs": inputs_name(item.inputs),
                "truth": truth,
                "best": best,
                "right": None if truth is None else bool(answer["value"]) and holds(answer["value"], truth),
                "best_right": None if truth is None else bool(best) and is_within(best, truth),
                "accepted": answer["decision"] == "accept",
                **{key: answer.get(key) for key in ("property", "value", "probability", "conflict", "reason")},
            }


# --- figures


def scores(answers: pl.DataFrame) -> dict[str, Any]:
    """Accuracy of the best guess; coverage and precision of what is accepted, with a 95% interval."""
    judged = answers.filter(pl.col("right").is_not_null())
    accepted = judged.filter("accepted").sort("probability")
    near = accepted.head(int(NEAR * accepted.height))
    found: dict[str, Any] = {"rows": judged.height, "accepted": accepted.height}
    if judged.height:
        found |= {"accuracy": _share(judged["best_right"]), "coverage": accepted.height / judged.height}
    if accepted.height:
        found |= {"precision": _share(accepted["right"]), "interval": _interval(accepted["right"])}
    if near.height:
        found |= {"near": _share(near["right"]), "near_rows": near.height, "near_interval": _interval(near["right"])}
    return found


def by_question(answers: pl.DataFrame, names: Iterable[str] | None = None) -> dict[str, dict[str, Any]]:
    """`scores` by `INPUTS/PROPERTY`, of those with a known answer."""
    found = {}
    for (inputs, name), part in sorted(answers.partition_by("inputs", "property", as_dict=True).items()):
        if (names is None or name in names) and (figures := scores(part))["rows"]:
            found[f"{inputs}/{name}"] = figures
    return found


def outside(read_of: Read, chosen: pl.Expr) -> dict[str, Any]:
    """Shares of products with any accepted answer, and of answers, by property too, for products of no category."""
    answers = read_of.answers.filter(chosen)
    products = answers.group_by("row").agg(pl.col("accepted").any())
    return {
        "products": products.height,
        "rejected": read_of.rejected,
        "products_with_accepted": _share(products["accepted"]),
        "answers_accepted": _share(answers["accepted"]),
        "accepted_by_property": {
            name: _share(part["accepted"]) for (name,), part in answers.partition_by("property", as_dict=True).items()
        },
    }


def auroc(inside: Read, beyond: Read, single: str, chosen: pl.Expr) -> float | None:
    """The share of pairs in which the product of the own shop looks the more familiar one; None without a gate."""
    own = inside.familiarity.filter(input=single)["familiarity"]
    kept = beyond.answers.filter(chosen)["product_id"].unique().implode()
    other = beyond.familiarity.filter(pl.col("input") == single, pl.col("product_id").is_in(kept))["familiarity"]
    if not len(own) or not len(other):
        return None
    return float(roc_auc_score(np.r_[np.ones(len(own)), np.zeros(len(other))], np.r_[own, other]))


def _share(marks: pl.Series) -> float:
    return float(marks.sum() / len(marks)) if len(marks) else 0.0


def _interval(marks: pl.Series) -> list[float]:
    right, total = int(marks.sum()), len(marks)
    low, wrong = (float(wilson_lower(count, total, TWO_SIDED)) for count in (right, total - right))
    return [low, 1 - wrong]


# --- kinds of rows


def measured(design: Design, data: Path, cases: Path, split: str, rounds: int) -> dict[str, Any]:
    """The whole table."""
    fashion = read(design, open_catalog(data / SMALL, split=split).batches())
    own = fashion.answers
    found: dict[str, Any] = {}
    found["fashion"] = {
        SMALL: by_question(own),
        LARGE: by_question(read(design, open_catalog(data / LARGE, split=split).batches()).answers),
    }
    found["resplits"] = {
        name: resplit_scores(design, open_catalog(data / name, split=split), Resplit(rounds)) for name in (SMALL, LARGE)
    }
    found["title_names_no_colour"] = by_question(own.filter(_names_no_colour(design)), ("colour",))
    found |= other_goods(design, data, fashion, split)
    found["snapshots"] = snapshots(design, data)
    shops = read(design, open_catalog(data / "other-shops.parquet", split=_split(split), required=()).batches()).answers
    found["shops"] = {"all": by_question(shops)} | {
        str(source): by_question(part) for (source,), part in shops.partition_by("source", as_dict=True).items()
    }
    rows = open_catalog(data / SMALL, split=split)
    some = next(rows.batches()).head(PLACEHOLDER_ROWS)
    pictures = {path.stem: path.read_bytes() for path in sorted((cases / "pictures/placeholders").glob("*.png"))}
    found["placeholders"] = {name: placeholder(design, some, data) for name, data in pictures.items()}
    found["words"] = {name: wordless(design, some, title) for name, title in WORDS.items()}
    return found


def _split(split: str) -> str:
    return "val" if split == "test" else split  # the other files have no test rows


def _names_no_colour(design: Design) -> pl.Expr:
    """Rows whose title has none of the names of a colour, as whole words."""
    prop = design.ontology.property("colour")
    values = prop.values if prop else ()
    names = {folded(name) for value in values for name in (value.id, *value.names.values(), *value.synonyms)}
    words = pl.col("title").fill_null("").str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]+", " ")
    padded = pl.concat_str(pl.lit(" "), words, pl.lit(" "))
    return ~padded.str.contains_any([f" {name.replace('-', ' ')} " for name in sorted(names)])


def other_goods(design: Design, data: Path, fashion: Read, split: str) -> dict[str, Any]:
    """Pictures and titles of goods that the model has no category for, and watches and umbrellas, which it has."""
    pictures = read(design, open_catalog(data / "other-goods.parquet", split=_split(split), required=()).batches())
    inside = pl.col("label").is_in(INSIDE)
    titles = open_catalog(data / "titles-other-goods.parquet", split=_split(split), required=())
    first = pl.col("category_path").list.first().str.to_lowercase()
    lists = read(design, (frame.filter(~first.is_in(PERHAPS)) for frame in titles.batches()))
    found = {
        "goods": outside(pictures, ~inside) | {"auroc": auroc(fashion, pictures, "image", ~inside)},
        "titles": outside(lists, pl.lit(True)) | {"auroc": auroc(fashion, lists, "title", pl.lit(True))},
        "inside": by_question(pictures.answers.filter(inside)),
    }
    watches = pictures.answers.filter(inside)
    refused = watches.filter(property=CATEGORY)["reason"].is_in(REFUSED).fill_null(False)
    found["inside"] |= outside(pictures, inside) | {"not_refused": _share(~refused)}
    return found


def snapshots(design: Design, data: Path) -> dict[str, Any]:
    """Photos by senders that are kept to validate on."""
    catalog = open_catalog(data / "clothing-snapshots.parquet", required=())

    def kept(frame: pl.DataFrame) -> pl.DataFrame:
        senders = [source.rsplit("=", 1)[-1] for source in frame["source"]]
        return frame.filter(pl.Series([zlib.crc32(name.encode()) % 100 < SENDERS_SHARE for name in senders]))

    photos = read(design, map(kept, catalog.batches()))
    return by_question(photos.answers) | {"any": outside(photos, pl.lit(True))}


def placeholder(design: Design, rows: pl.DataFrame, picture: bytes) -> dict[str, float]:
    """With this picture under every title: how often the answer is that of the title alone, and conflicts."""
    image = pl.Series("image", [{"bytes": picture, "path": None}] * rows.height, dtype=rows.schema["image"])
    return _same(design, rows.with_columns(image), "title")


def wordless(design: Design, rows: pl.DataFrame, title: str) -> dict[str, float]:
    """With this title beside every picture: how often the answer is that of the picture alone, and conflicts."""
    return _same(design, rows.with_columns(pl.lit(title).alias("title")), "image")


def _same(design: Design, rows: pl.DataFrame, kept: str) -> dict[str, float]:
    """How often all inputs give the value and the decision that one input alone gives."""
    other = "image" if kept == "title" else "title"
    empty = rows.with_columns(pl.lit(None, rows.schema[other]).alias(other))
    keys, columns = ["product_id", "property"], ("value", "accepted", "conflict")
    every = read(design, [rows]).answers.unique(keys, keep="first", maintain_order=True)  # all inputs come first
    alone = read(design, [empty]).answers.select(*keys, *columns)
    both = every.join(alone, on=keys, suffix="_alone")
    same = both["value"].eq_missing(both["value_alone"]) & both["accepted"].eq(both["accepted_alone"])
    return {"same": _share(same), "conflicts": _share(both["conflict"]), "products": rows.height}


def lines(found: dict[str, Any], above: str = "") -> Iterator[str]:
    """A line for every part that holds figures."""
    figures = {name: value for name, value in found.items() if not isinstance(value, dict | str)}
    if above and figures:
        yield f"{above}: " + ", ".join(f"{name} {_short(value)}" for name, value in figures.items())
    for name, part in found.items():
        if isinstance(part, dict):
            yield from lines(part, f"{above} {name}".strip())


def _short(value: Any) -> str:
    if isinstance(value, list):
        return " to ".join(map(_short, value))
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--split", default="val", choices=("val", "test"))
    parser.add_argument("--resplits", type=int, default=100)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    design, started = Design.from_pretrained(args.model), time.perf_counter()
    found = {"split": args.split, **measured(design, args.data, args.cases, args.split, args.resplits)}
    found["seconds"] = time.perf_counter() - started
    write_result(args.out, found, model=design.name, data=[*sorted(args.data.glob("*.parquet")), args.cases])
    print(*lines(found), sep="\n")


if __name__ == "__main__":
    main()
