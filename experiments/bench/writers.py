"""Titles that a writer makes of products whose titles it does not see: what they name right, invent, and cost.

    python experiments/bench/writers.py --data $SHOPVL_DATA --model runs/writer/design --rows 500 --out FILE

From picture and attributes, and from the picture alone, with the accepted answers of a tagger that sees the picture
alone. Beside them the true titles, and the title of the nearest picture of the train split, by the tagger.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import torch

from shopvl.catalog.readers import Catalog, open_catalog
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN
from shopvl.data.rows import Row, pairs
from shopvl.design.design import Design
from shopvl.evaluation.texts import WrittenTitle, named_right, text_scores
from shopvl.inference.encode import Encoded, encode
from shopvl.inference.grounds import Grounds
from shopvl.paths import SHIPPED
from shopvl.tagging.run import tag
from shopvl.tagging.write import Request, accepted_in, write
from shopvl.tracking.provenance import write_result

TABLE = "fashion-products-small.parquet"


def measured(
    design: Design, catalog: Catalog, rows: Sequence[Row], request: Request, tags: Path | None, folder: Path
) -> dict[str, float]:
    """Figures of one way to write."""
    cpu, wall = time.process_time(), time.monotonic()
    done = write(design, catalog, folder, request, tags=tags, limit=len(rows))
    spent = {"cpu_seconds": time.process_time() - cpu, "seconds": time.monotonic() - wall}
    best = pl.read_parquet(folder / "texts.parquet").filter(pl.col("rank") == 1)
    texts = dict(best.select("product_id", "text").iter_rows())
    accepted = {} if tags is None else accepted_in(tags)
    written = []
    for row in rows:
        if row["product_id"] in texts:
            given = dict(pairs(row["attributes"])) if "attributes" in request.sources else {}
            path = row["category_path"] if "attributes" in request.sources else ()
            for name, value in accepted.get(row["product_id"], ()):
                if name == CATEGORY:
                    path = path or value.split(CATEGORY_JOIN)
                else:
                    given.setdefault(name, value)
            grounds = Grounds.of(design.ontology, path, given.items())
            written.append(WrittenTitle(row, texts[row["product_id"]], grounds))
    figures = text_scores(written, design.ontology)
    return figures | {
        "written": done.written / done.rows,
        **spent,
        "products_per_cpu_second": done.rows / spent["cpu_seconds"],
    }


def nearest_titles(tagger: Design, rows: Sequence[Row], train: Catalog, most: int) -> list[str]:
    """For each row the title of the train picture that is nearest to its own."""

    def vectors(frames: list[pl.DataFrame], root: Path) -> tuple[list[Row], torch.Tensor]:
        found: list[Row] = []
        parts = []
        for item in encode(tagger, frames, root, ("image",), tagger.embeddings):
            if isinstance(item, Encoded):
                found += item.rows
                parts.append(torch.from_numpy(item.values["image"]))
        return found, torch.cat(parts)

    known, gallery = vectors([next(iter(train.batches(most)))], train.root)
    own, asked = vectors([pl.DataFrame(rows, infer_schema_length=None)], train.root)
    nearest = dict(zip([row["product_id"] for row in own], (asked @ gallery.T).argmax(1).tolist(), strict=True))
    return [known[nearest[row["product_id"]]]["title"] if row["product_id"] in nearest else "" for row in rows]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--train-rows", type=int, default=0, help="whose pictures are looked among; 0: none")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    told = parser.parse_args()
    torch.set_num_threads(told.threads)
    table = told.data / TABLE
    catalog, design = open_catalog(table, split="test"), Design.from_pretrained(told.model)
    rows = [row for frame in catalog.batches(told.rows) for row in frame.to_dicts()][: told.rows]
    figures: dict[str, object] = {"rows": len(rows)}
    figures["true titles"] = dict(named_right([(row, row["title"]) for row in rows], design.ontology))
    with tempfile.TemporaryDirectory() as place:
        folder, tagger = Path(place), Design.from_pretrained(SHIPPED)
        told_all = Request("title", ("image", "attributes"))
        figures["picture and attributes"] = measured(design, catalog, rows, told_all, None, folder / "all")
        tag(tagger, catalog, folder / "tags", use=("image",), limit=len(rows))
        seen = Request("title", ("image",))
        figures["picture"] = measured(design, catalog, rows, seen, folder / "tags", folder / "seen")
        if told.train_rows:
            train = open_catalog(table, split="train")
            titles = nearest_titles(tagger, rows, train, told.train_rows)
            near = named_right(list(zip(rows, titles, strict=True)), design.ontology)
            figures["nearest picture's title"] = {"train_rows": told.train_rows, **near}
    write_result(told.out, figures, model=design.name, data=[table])
    print(figures)


if __name__ == "__main__":
    main()
