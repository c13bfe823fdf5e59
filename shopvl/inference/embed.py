"""A catalog's pictures and titles as vectors in the shared space, for use outside shopvl."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from shopvl.catalog.readers import Catalog
from shopvl.data.rows import RejectedRow
from shopvl.design.design import Design
from shopvl.design.in_use import in_use
from shopvl.files import REJECTS, Table
from shopvl.inference.encode import encode
from shopvl.recipes.capabilities import require_capability


def embed(
    design: Design, catalog: Catalog, out: Path, *, report: Callable[[int], None] = lambda rows: None
) -> tuple[int, int]:
    """Write `out/embeddings.parquet` (product_id, image, title: unit vectors, null where there is none) and rejects.

    Returns how many products were embedded and how many rejected. Raises DesignError for a design without
    a shared space.
    """
    require_capability(design.recipe, "embed")
    design = in_use(design)
    embedded = rejected = 0
    vector = pa.list_(pa.float32())
    schema = pa.schema([("product_id", pa.string()), ("image", vector), ("title", vector), ("model", pa.string())])
    out.mkdir(parents=True, exist_ok=True)
    model = design.name
    with Table(out / "embeddings.parquet", schema) as table, Table(out / "rejects.parquet", REJECTS) as rejects:
        for item in encode(design, catalog.batches(), catalog.root, ("image", "title"), design.embeddings):
            if isinstance(item, RejectedRow):
                rejects.write([vars(item)])
                rejected += 1
            else:
                table.write(
                    [
                        {
                            "product_id": row["product_id"],
                            "model": model,
                            **{name: values[number] for name, values in item.values.items()},
                        }
                        for number, row in enumerate(item.rows)
                    ]
                )
                embedded += len(item.rows)
            report(embedded + rejected)
    return embedded, rejected
