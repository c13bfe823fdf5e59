"""What further pictures of a product bring, and what they cost.

    python experiments/bench/several_pictures.py --data $SHOPVL_DATA/other-shops.parquet \\
        --out experiments/results/several_pictures.json

The colours of Magento's sample garments as products of one to five pictures (main, back, another pose): the bundled
model answers from the main picture alone and from all of them, without and with the title. Right: the true value, or
for the category a node on its path; the same of what is accepted. Times are of products with five pictures (the main
one again, slightly cropped) and with one, in turns; their ratio is the median over the rounds.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import polars as pl
import torch
from PIL import Image

from shopvl.batch import Modality
from shopvl.catalog.readers import open_catalog
from shopvl.catalog.schema import MORE_IMAGES
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN, MOST_PICTURES
from shopvl.data.rows import RejectedRow, label_of
from shopvl.design.design import Design
from shopvl.design.in_use import in_use
from shopvl.inference.tag_rows import tags_of
from shopvl.paths import SHIPPED
from shopvl.tracking.provenance import write_result

INPUTS: dict[str, tuple[Modality, ...]] = {"image": ("image",), "image+title": ("image", "title")}
PROPERTIES = (CATEGORY, "colour", "gender")
TIMED = 64


def products_of(path: Path, split: str) -> pl.DataFrame:
    """Garments in one colour, their main picture first, the others behind it; those of one picture as they are."""
    (frame,) = open_catalog(path, split=split).batches(1 << 20)
    frame = frame.filter(pl.col("source").str.contains("magento")).with_columns(
        pl.col("product_id").str.replace(r"_[^_]+$", "").alias("garment"),
        (~pl.col("product_id").str.ends_with("_main")).alias("not_main"),
    )
    rows = frame.sort("garment", "not_main", maintain_order=True).group_by("garment", maintain_order=True)
    made = []
    for _, own in rows:
        first, *more = own.iter_rows(named=True)
        made.append({**first, MORE_IMAGES: [one["image"] for one in more] or None})
    return pl.DataFrame(made, schema=frame.schema)


def answers(design: Design, frame: pl.DataFrame, use: tuple[Modality, ...]) -> dict[str, dict[str, dict[str, Any]]]:
    """Property -> product -> its tag."""
    said: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for item in tags_of(design, [frame], Path(), use=use):
        for tag in () if isinstance(item, RejectedRow) else item:
            said[tag["property"]][tag["product_id"]] = tag
    return said


def scores(design: Design, frame: pl.DataFrame, use: tuple[Modality, ...]) -> dict[str, dict[str, float]]:
    """Of every property: the rows with a true value, the share right, the share accepted, and the share right of it."""
    said, scored = answers(design, frame, use), {}
    for name in PROPERTIES:
        truth = {row["product_id"]: label_of(row, name, design.ontology) for row in frame.iter_rows(named=True)}
        known = [(said[name][own], value) for own, value in truth.items() if value and own in said[name]]
        accepted = [(tag, value) for tag, value in known if tag["decision"] == "accept"]
        scored[name] = {
            "rows": len(known),
            "right": _share(known, "best_guess"),
            "accepted": len(accepted) / max(1, len(known)),
            "right_of_accepted": _share(accepted, "value"),
        }
    return scored


def _share(pairs: list[tuple[dict[str, Any], str]], field: str) -> float:
    """In which tag and truth agree: one is the other, or lies in it."""
    said = [(f"{tag[field]}{CATEGORY_JOIN}", f"{value}{CATEGORY_JOIN}") for tag, value in pairs]
    return sum(one.startswith(other) or other.startswith(one) for one, other in said) / max(1, len(said))


def cost(design: Design, frame: pl.DataFrame, rounds: int) -> dict[str, float]:
    """Processor milliseconds of a product with one picture and with MOST_PICTURES, and their ratio."""
    one = frame.head(TIMED).with_columns(pl.lit(None, dtype=frame.schema[MORE_IMAGES]).alias(MORE_IMAGES))
    further = [
        [{"bytes": _cropped(row["image"]["bytes"], px), "path": None} for px in range(1, MOST_PICTURES)]
        for row in one.iter_rows(named=True)
    ]
    several = one.with_columns(pl.Series(MORE_IMAGES, further, dtype=frame.schema[MORE_IMAGES]))
    taken: dict[str, list[float]] = {"one": [], "several": []}
    for _ in range(rounds + 1):  # the first is to warm up
        for name, some in (("one", one), ("several", several)):
            started = time.process_time()
            answers(design, some, INPUTS["image+title"])
            taken[name].append((time.process_time() - started) * 1000 / len(some))
    ratios = [several / one for one, several in zip(taken["one"][1:], taken["several"][1:], strict=True)]
    return {name: statistics.median(ms[1:]) for name, ms in taken.items()} | {"ratio": statistics.median(ratios)}


def _cropped(data: bytes, px: int) -> bytes:
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    out = io.BytesIO()
    picture.crop((px, px, picture.width - px, picture.height - px)).save(out, "JPEG", quality=92)
    return out.getvalue()


def main() -> None:
    """Measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    torch.set_num_threads(1)
    design = in_use(Design.from_pretrained(SHIPPED))
    frame = products_of(told.data, told.split)
    several = frame.filter(pl.col(MORE_IMAGES).is_not_null())
    main_alone = several.with_columns(pl.lit(None, dtype=frame.schema[MORE_IMAGES]).alias(MORE_IMAGES))
    result: dict[str, Any] = {"split": told.split, "products": len(several)}
    result["pictures"] = 1 + int(several[MORE_IMAGES].list.len().sum()) / max(1, len(several))
    for name, use in INPUTS.items():
        result[name] = {
            "main picture": scores(design, main_alone, use),
            "all pictures": scores(design, several, use),
        }
        print(name, result[name], flush=True)
    result["cost_ms"] = cost(design, frame, told.rounds)
    print(result["cost_ms"])
    if told.out:
        write_result(told.out, result, model=design.name, data=[told.data])


if __name__ == "__main__":
    main()
