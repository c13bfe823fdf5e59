"""Tags as a table with a column per property."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from shopvl.files import Table
from shopvl.tagging.exporters.base import Exporter, TaggedProduct, write_table


class WideTable(Exporter):
    """A row per product."""

    name = "wide"
    help = "a table with a column per property"
    suffixes = default_for = (".csv", ".tsv", ".parquet")

    def write(self, products: Iterator[TaggedProduct], properties: Sequence[str], target: Path) -> None:
        """CSV, TSV or Parquet, by the end of the file's name."""
        rows = (
            {"product_id": product_id} | {row["property"]: row["value"] for row in answers}
            for product_id, answers in products
        )
        header = ["product_id", *properties]
        if target.suffix.lower() == ".parquet":
            with Table(target, pa.schema([(name, pa.string()) for name in header])) as table:
                for row in rows:
                    table.write([row])
        else:
            write_table(header, rows, target)
