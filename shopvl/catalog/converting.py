"""Any catalog as a table under the names that products have here."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from shopvl.catalog.readers import Catalog
from shopvl.catalog.schema import MORE_IMAGES, row_as_json
from shopvl.catalog.vocabulary import CATEGORY_JOIN
from shopvl.errors import CatalogError
from shopvl.files import atomic_write

SUFFIXES = (".parquet", ".jsonl", ".csv", ".tsv")


def convert(catalog: Catalog, target: Path, report: Callable[[int], None] = lambda rows: None) -> int:
    """Write all rows; the number of them. Rows that could not be read in full say so in the column `fault`.

    Pictures that lie beside the catalog keep their place: paths are rewritten to start from the new table. Raises
    CatalogError for another end of the file's name, and for pictures' bytes in CSV.
    """
    suffix = target.suffix.lower()
    if suffix not in SUFFIXES:
        raise CatalogError(f"{target} ends in {suffix or 'nothing'}; wanted: {', '.join(SUFFIXES)}")
    frames = _moved(catalog, target, report)
    with atomic_write(target) as draft:
        if suffix == ".parquet":
            return _write_parquet(frames, draft)
        with draft.open("w", encoding="utf-8", newline="") as file:
            if suffix == ".jsonl":
                return sum(file.write(f"{_json(row)}\n") > 0 for frame in frames for row in frame.iter_rows(named=True))
            writer = csv.DictWriter(file, catalog.columns, delimiter="\t" if suffix == ".tsv" else ",")
            writer.writeheader()
            rows = 0
            for frame in frames:
                rows += frame.height
                for row in frame.iter_rows(named=True):
                    writer.writerow({name: _cell(name, value, target) for name, value in row.items()})
            return rows


def _moved(catalog: Catalog, target: Path, report: Callable[[int], None]) -> Iterator[pl.DataFrame]:
    """The frames, with the places of pictures as they are seen from the target's folder."""
    root, folder = catalog.root.resolve(), target.parent.resolve()
    for frame in catalog.batches():
        if root != folder:

            def placed(image: dict[str, Any] | None) -> dict[str, Any] | None:
                return image and {**image, "path": _seen_from(folder, root, image["path"])}

            images = [placed(image) for image in frame["image"].to_list()]
            further = [more and [placed(image) for image in more] for more in frame[MORE_IMAGES].to_list()]
            frame = frame.with_columns(
                pl.Series("image", images, dtype=frame.schema["image"]),
                pl.Series(MORE_IMAGES, further, dtype=frame.schema[MORE_IMAGES]),
            )
        yield frame
        report(frame.height)


def _seen_from(folder: Path, root: Path, place: str | None) -> str | None:
    if not place or not (root / place).is_file():
        return place
    return os.path.relpath(root / place, folder)


def _write_parquet(frames: Iterator[pl.DataFrame], draft: Path) -> int:
    rows, writer = 0, None
    try:
        for frame in frames:
            table = frame.to_arrow()
            writer = writer or pq.ParquetWriter(str(draft), table.schema, compression="zstd")
            writer.write_table(table.cast(writer.schema))
            rows += frame.height
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        raise CatalogError("the catalog has no rows, so there is nothing to write")
    return rows


def _json(row: Mapping[str, Any]) -> str:
    filled = {name: value for name, value in row_as_json(row).items() if value is not None}
    return json.dumps(filled, ensure_ascii=False, default=str)


def _cell(name: str, value: Any, target: Path) -> Any:
    match name:
        case "image":
            if value is not None and value["bytes"] is not None:
                raise CatalogError(f"{target} cannot hold pictures' bytes; write a .parquet or .jsonl file")
            return value and value["path"]
        case "more_images":
            return "|".join(_cell("image", picture, target) or "" for picture in value or ())
        case "category_path":
            return CATEGORY_JOIN.join(value or ())
        case "attributes" | "queries":
            return json.dumps(value, ensure_ascii=False) if value else None
        case _:
            return value
