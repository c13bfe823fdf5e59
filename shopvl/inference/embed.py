"""A catalog's pictures and titles as vectors in the shared space, for use outside shopvl."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from shopvl.catalog.readers import Catalog
from shopvl.data.rows import RejectedRow, ValidRow
from shopvl.design.design import Design
from shopvl.design.in_use import in_use
from shopvl.files import REJECTS, Table
from shopvl.inference.encode import Pool, encode, encoded_each
from shopvl.inference.views import pooled_vectors
from shopvl.recipes.capabilities import require_capability

EMBEDDINGS = pa.schema(
    [
        ("product_id", pa.string()),
        ("image", pa.list_(pa.float32())),
        ("title", pa.list_(pa.float32())),
        ("model", pa.string()),
    ]
)
Vectors = dict[str, np.ndarray]  # input -> (D,), unit length


def vectors_of(design: Design, items: Sequence[ValidRow]) -> list[Vectors]:
    """The vectors of rows that were checked (`encode.validated`), in their order.

    Raises DesignError for a design without a shared space.
    """
    require_capability(design.recipe, "embed")
    design = in_use(design)
    read = encoded_each(design, items, design.embeddings)
    return [{name: values[0] for name, values in one.values.items()} for one in read]


def embedded(design: Design, catalog: Catalog) -> Iterator[RejectedRow | list[dict[str, Any]]]:
    """The vectors of a catalog's products as rows of `embeddings.parquet`, a batch at a time; or a reject.

    Of several pictures it is their mean direction. Raises DesignError for a design without a shared space.
    """
    require_capability(design.recipe, "embed")
    design = in_use(design)
    model = design.name
    pool = Pool(design.embeddings, partial(pooled_vectors, name="image"))
    for item in encode(design, catalog.batches(), catalog.root, ("image", "title"), design.embeddings, pool=pool):
        if isinstance(item, RejectedRow):
            yield item
            continue
        yield [
            {
                "product_id": row["product_id"],
                **dict.fromkeys(("image", "title")),
                **{name: values[number] for name, values in item.values.items()},
                "model": model,
            }
            for number, row in enumerate(item.rows)
        ]


def embed(
    design: Design, catalog: Catalog, out: Path, *, report: Callable[[int], None] = lambda rows: None
) -> tuple[int, int]:
    """Write `out/embeddings.parquet` (product_id, image, title: unit vectors, null where there is none) and rejects.

    Returns how many products were embedded and how many rejected. Raises DesignError for a design without
    a shared space.
    """
    items = embedded(design, catalog)
    first = next(items, None)  # before anything is written
    done = rejected = 0
    out.mkdir(parents=True, exist_ok=True)
    with Table(out / "embeddings.parquet", EMBEDDINGS) as table, Table(out / "rejects.parquet", REJECTS) as rejects:
        for item in items if first is None else chain([first], items):
            if isinstance(item, RejectedRow):
                rejects.write([vars(item)])
                rejected += 1
            else:
                table.write(item)
                done += len(item)
            report(done + rejected)
    return done, rejected
