"""A shop on disk: the catalog, the truth about its pictures, a query log, and names in two languages."""

import csv
import io
import json
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from shopvl.errors import CatalogError
from shopvl.files import atomic_write
from shopvl.synthetic.assortment import KIND_OF, ontology_names, visible_properties
from shopvl.synthetic.generate import ShopItem, draw_item, stream
from shopvl.synthetic.named import ShownPart
from shopvl.synthetic.wording import part_words
from shopvl.vision.transforms import Box

_CHUNK = 64  # products one worker makes at a time; also the size of a row group
_PAIR = pa.struct([("property", pa.string()), ("value", pa.string())])
_BOX = pa.struct(
    [*((side, pa.float32()) for side in ("x0", "y0", "x1", "y1")), ("words", pa.string()), ("kind", pa.string())]
)

_PART = pa.struct(
    [
        *((name, pa.string()) for name in ("name", "property", "text")),
        ("box", pa.list_(pa.float32())),
        ("mask", pa.binary()),
    ]
)

CATALOG_SCHEMA = pa.schema(
    [
        ("product_id", pa.string()),
        ("split", pa.string()),
        ("title", pa.string()),
        ("category_path", pa.list_(pa.string())),
        ("attributes", pa.list_(_PAIR)),
        ("queries", pa.list_(pa.string())),
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("price", pa.float64()),
    ]
)
DESCRIPTION = pa.field("description", pa.string())  # HTML, of a described shop
MORE_PICTURES = pa.field("more_images", pa.list_(CATALOG_SCHEMA.field("image").type))  # of one with several pictures
PART_BOXES = pa.field(  # of one whose parts are named
    "part_boxes",
    pa.list_(pa.struct([("text", pa.string()), ("property", pa.string()), ("box", pa.list_(pa.float32()))])),
)
TRUTH_SCHEMA = pa.schema(
    [
        ("product_id", pa.string()),
        ("mask", pa.binary()),
        ("text_boxes", pa.list_(_BOX)),
        ("parts", pa.list_(_PART)),
        ("background", pa.string()),
        ("facts", pa.list_(_PAIR)),
        ("twin_of", pa.string()),
    ]
)

Row = dict[str, object]
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Order:
    """What a shop is asked to hold; small enough to be sent to every worker."""

    count: int
    seed: int
    size_px: int
    zh_share: float
    overlay_share: float
    described: bool = False
    pictures: int = 1
    parts: bool = False


@dataclass(frozen=True)
class Rows:
    """A chunk of finished rows for the three tables."""

    catalog: list[Row]
    truth: list[Row]
    clicks: list[tuple[str, str, int]]


def write_shop(
    folder: str | Path,
    count: int,
    seed: int = 0,
    size_px: int = 224,
    *,
    zh_share: float = 0.3,
    overlay_share: float = 0.25,
    described: bool = False,
    pictures: int = 1,
    parts: bool = False,
    workers: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Write a shop of `count` products and return the path of its `catalog.parquet`.

    Beside it: `truth.parquet` (masks, text boxes, named parts, backgrounds, all facts), `query_log.csv` and
    `ontology_names.json`. A `described` shop has a column `description` besides, measures, compositions, and brands of
    which some are in the test split alone; one with several `pictures` has that many of each product; one with `parts`
    a column `part_boxes`: what is where in the main picture. Files appear when they are complete. `progress(done)` is
    called as products are written.
    """
    order = Order(count, seed, size_px, zh_share, overlay_share, described, pictures, parts)
    schema = CATALOG_SCHEMA.append(DESCRIPTION) if described else CATALOG_SCHEMA
    schema = schema.append(MORE_PICTURES) if pictures > 1 else schema
    schema = schema.append(PART_BOXES) if parts else schema
    _check(order, workers)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    with ExitStack() as files:
        # left in reverse order: the catalog appears last, when all that belongs to it is there
        catalog_path = files.enter_context(atomic_write(target / "catalog.parquet"))
        catalog = files.enter_context(pq.ParquetWriter(catalog_path, schema))
        truth_path = files.enter_context(atomic_write(target / "truth.parquet"))
        truth = files.enter_context(pq.ParquetWriter(truth_path, TRUTH_SCHEMA))
        log_path = files.enter_context(atomic_write(target / "query_log.csv"))
        log = files.enter_context(open(log_path, "w", newline="", encoding="utf-8"))
        clicks = csv.writer(log)
        clicks.writerow(("query", "product_id", "count"))
        names = files.enter_context(atomic_write(target / "ontology_names.json"))
        names.write_text(json.dumps(ontology_names(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        done = 0
        for rows in _chunks(order, workers):
            catalog.write_table(pa.Table.from_pylist(rows.catalog, schema=schema))
            truth.write_table(pa.Table.from_pylist(rows.truth, schema=TRUTH_SCHEMA))
            clicks.writerows(rows.clicks)
            done += len(rows.catalog)
            if progress is not None:
                progress(done)
    return target / "catalog.parquet"


def _check(order: Order, workers: int) -> None:
    if order.count < 1 or workers < 1:
        raise CatalogError(f"a shop of {order.count} products by {workers} workers; both start at 1")
    if not 0 <= order.zh_share <= 1:
        raise CatalogError(f"zh_share is {order.zh_share}; it is a share between 0 and 1")


def _chunks(order: Order, workers: int) -> Iterator[Rows]:
    """All rows in order; with several workers a few chunks are made ahead of the writer, never all of them."""
    starts = range(0, order.count, _CHUNK)
    if workers == 1:
        yield from (make_rows(order, start) for start in starts)
        return
    # fresh processes: forking one that has run threads (tables, OpenMP) can hang
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        pending: deque[Future[Rows]] = deque()
        for start in starts:
            pending.append(pool.submit(make_rows, order, start))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def make_rows(order: Order, start: int) -> Rows:
    """The rows of one chunk."""
    rows = Rows([], [], [])
    for number in range(start, min(start + _CHUNK, order.count)):
        item = draw_item(
            number,
            order.seed,
            order.size_px,
            overlay_share=order.overlay_share,
            described=order.described,
            pictures=order.pictures,
        )
        rows.catalog.append(_catalog_row(item, order.zh_share))
        rows.truth.append(_truth_row(item))
        rows.clicks.extend(_clicks(item, stream(order.seed, number, "clicks")))
    return rows


def _catalog_row(item: ShopItem, zh_share: float) -> Row:
    told = item.told_zh if _in_chinese(item.title, zh_share) else item.told
    return {
        "product_id": item.product_id,
        "split": item.split,
        "title": told.title,
        "description": told.description or None,
        "category_path": list(item.category_path),
        "attributes": _pairs(item.attributes),
        "queries": list(item.queries),
        "image": {"bytes": jpeg(item.image), "path": f"{item.product_id}.jpg"},
        "more_images": [
            {"bytes": jpeg(view), "path": f"{item.product_id}-{number}.jpg"}
            for number, view in enumerate(item.views, 2)
        ],
        "price": item.price,
        "part_boxes": _part_rows(item),
    }


def part_boxes(item: ShopItem) -> list[tuple[str, Box]]:
    """What a shopper calls each part that the main picture shows, and x0 y0 x1 y1 in [0, 1] of it."""
    facts = dict(item.facts)
    return [(part_words(part.name, part.about, facts), part.box) for part in item.parts]


def property_boxes(item: ShopItem) -> list[tuple[str, Box]]:
    """Where the main picture shows which property: in parts, or in the whole product. Others are seen in none."""
    parts = [(part.about, part.box) for part in item.parts if part.about]
    product = ShownPart("product", "", item.subject_mask).box
    whole = set(visible_properties(KIND_OF[item.category_path[-1]])) - {name for name, _ in parts}
    return [*parts, *((name, product) for name in sorted(whole))]


def _part_rows(item: ShopItem) -> list[Row]:
    """Parts by what they are called, with the property that they show; then properties that the whole product shows."""
    parts = {part.about for part in item.parts}
    named = zip(part_boxes(item), item.parts, strict=True)
    told = [(words, part.about or None, box) for (words, box), part in named]
    whole = [(None, name, box) for name, box in property_boxes(item) if name not in parts]
    return [{"text": text, "property": name, "box": list(box)} for text, name, box in (*told, *whole)]


def _in_chinese(title: str, zh_share: float) -> bool:
    """Decided by the title, so that twins are written in one language."""
    return float(np.random.default_rng(list(title.encode())).random()) < zh_share


def _truth_row(item: ShopItem) -> Row:
    named = zip(item.parts, part_boxes(item), strict=True)
    return {
        "product_id": item.product_id,
        "mask": _png(item.subject_mask),
        "text_boxes": [asdict(box) for box in item.text_boxes],
        "parts": [
            {
                "name": part.name,
                "property": part.about or None,
                "text": words,
                "box": list(box),
                "mask": _png(part.mask),
            }
            for part, (words, box) in named
        ],
        "background": item.background,
        "facts": _pairs(item.facts),
        "twin_of": item.twin_of,
    }


def _png(mask: np.ndarray) -> bytes:
    stored = io.BytesIO()
    Image.fromarray(mask).save(stored, "PNG")
    return stored.getvalue()


def _pairs(attributes: tuple[tuple[str, str], ...]) -> list[dict[str, str]]:
    return [{"property": name, "value": value} for name, value in attributes]


def _clicks(item: ShopItem, rng: np.random.Generator) -> list[tuple[str, str, int]]:
    """How often each query led to the product: a few often, most seldom."""
    return [(query, item.product_id, int(min(rng.zipf(1.7), 500))) for query in item.queries]


def jpeg(image: Image.Image) -> bytes:
    """A picture as it is stored in the catalog."""
    stored = io.BytesIO()
    image.save(stored, "JPEG", quality=92)
    return stored.getvalue()
