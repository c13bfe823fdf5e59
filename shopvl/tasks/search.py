"""The door to FAISS: an index folder over a catalog, and search in it by words, picture, or both."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from shopvl.batch import Batch, Modality
from shopvl.catalog.images import decode, image_bytes
from shopvl.catalog.readers import Catalog
from shopvl.design import Design
from shopvl.encoding import Encoded, encode
from shopvl.errors import IndexFolderError, ShopvlError
from shopvl.loading import Reject, Row

CONFIG, VECTORS, PRODUCTS, REJECTS = "config.json", "vectors.faiss", "products.parquet", "rejects.parquet"
FORMAT = 1
TITLE_SHARE = 0.5  # of a product's vector; the rest is the picture's
FLAT_UP_TO = 100_000  # vectors; exact search is fast enough up to here
THUMBNAIL_PX = 160

_PRODUCTS = pa.schema(
    [
        ("product_id", pa.string()),
        ("title", pa.string()),
        ("category_path", pa.list_(pa.string())),
        ("attributes", pa.list_(pa.struct([("property", pa.string()), ("value", pa.string())]))),
        ("thumbnail", pa.binary()),
    ]
)


@dataclass(frozen=True)
class Hit:
    """One result: cosine similarity in [-1, 1] and what is needed to show the product."""

    product_id: str
    score: float
    title: str
    category_path: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...]
    thumbnail: bytes

    def as_dict(self) -> dict[str, Any]:
        """Fit for JSON: without the picture."""
        return {
            "product_id": self.product_id,
            "score": round(self.score, 4),
            "title": self.title,
            "category_path": list(self.category_path),
            "attributes": dict(self.attributes),
        }


@dataclass(frozen=True)
class Indexed:
    """Rows in = indexed + rejected."""

    indexed: int
    rejected: int


def product_vectors(embeddings: Mapping[str, Tensor], inputs: tuple[Modality, ...]) -> Tensor:
    """Unit vectors (B, D): the mix of picture and title, or the one there is."""
    if len(inputs) == 1:
        return embeddings[inputs[0]]
    return F.normalize(TITLE_SHARE * embeddings["title"] + (1 - TITLE_SHARE) * embeddings["image"], dim=-1)


def build_index(
    design: Design, catalog: Catalog, out: Path, report: Callable[[int], None] = lambda rows: None
) -> Indexed:
    """Embed the catalog and write the index folder. It replaces an older one only when it is whole."""

    def read(batch: Batch, inputs: tuple[Modality, ...]) -> dict[str, Tensor]:
        return {"vector": product_vectors(design.embeddings(batch, inputs), inputs)}

    draft = out.with_name(f".{out.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    vectors: list[np.ndarray] = []
    rejects: list[Reject] = []
    with pq.ParquetWriter(str(draft / PRODUCTS), _PRODUCTS, compression="zstd") as products:
        for item in encode(design, catalog.batches(), catalog.root, ("image", "title"), read):
            if isinstance(item, Encoded):
                vectors.append(item.values["vector"])
                shown = [_shown(row, catalog.root) for row in item.rows]
                products.write_batch(pa.RecordBatch.from_pylist(shown, schema=_PRODUCTS))
            else:
                rejects.append(item)
            report(sum(map(len, vectors)) + len(rejects))
    pl.DataFrame([vars(r) for r in rejects], schema={"product_id": pl.String, "reason": pl.String}).write_parquet(
        draft / REJECTS
    )
    if not vectors:
        raise ShopvlError(f"no row of {catalog.path} could be indexed; {draft / REJECTS} says why for each")
    matrix = np.concatenate(vectors)
    faiss.write_index(_faiss_index(matrix), str(draft / VECTORS))
    config = {"format": FORMAT, "model": design.name, "dimension": int(matrix.shape[1]), "metric": "cosine"}
    (draft / CONFIG).write_text(json.dumps(config, indent=1), "utf-8")
    shutil.rmtree(out, ignore_errors=True)
    draft.replace(out)
    return Indexed(len(matrix), len(rejects))


def _faiss_index(matrix_ND: np.ndarray) -> faiss.Index:
    """Exact up to FLAT_UP_TO vectors, a navigable graph beyond (HNSW, arXiv:1603.09320)."""
    dimension = matrix_ND.shape[1]
    if len(matrix_ND) <= FLAT_UP_TO:
        index: faiss.Index = faiss.IndexFlatIP(dimension)
    else:
        index = faiss.IndexHNSWFlat(dimension, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction, index.hnsw.efSearch = 100, 128
    index.add(matrix_ND)
    return index


def _among(index: Any, numbers_M: np.ndarray) -> Any:
    """Parameters of a search that looks at these vectors only."""
    library: Any = faiss  # its stubs know neither of the two classes whole
    kind = library.SearchParametersHNSW if isinstance(index, faiss.IndexHNSW) else library.SearchParameters
    return kind(sel=library.IDSelectorBatch(numbers_M))


def _shown(row: Row, root: Path) -> dict[str, Any]:
    image = row["image"] or {}
    has_image = image.get("bytes") or image.get("path")
    return {
        "product_id": row["product_id"],
        "title": row["title"],
        "category_path": row["category_path"],
        "attributes": row["attributes"],
        "thumbnail": _thumbnail(image_bytes(image, root)) if has_image else None,
    }


def _thumbnail(data: bytes) -> bytes:
    """A JPEG of at most THUMBNAIL_PX a side; a picture that is small already stays as it is."""
    picture = decode(data)
    if max(picture.size) <= THUMBNAIL_PX:
        return data
    picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    out = BytesIO()
    picture.save(out, "JPEG", quality=88)
    return out.getvalue()


class SearchIndex:
    """An index folder opened with the design that made it."""

    def __init__(self, folder: Path, design: Design) -> None:
        self.folder, self.design = folder, design
        config = _config(folder)
        if config["model"] != design.name:
            raise IndexFolderError(
                f"the index {folder} was made with the model {config['model']}, but {design.name} is to search it; "
                "use that model, or make the index anew with `shopvl index`"
            )
        self.index = faiss.read_index(str(folder / VECTORS))
        self.products = pl.scan_parquet(folder / PRODUCTS)
        self.facts = self.products.select("category_path", "attributes").collect()
        if self.index.ntotal != len(self.facts):
            raise IndexFolderError(
                f"the index {folder} is damaged: {self.index.ntotal} vectors for {len(self.facts)} products; "
                "make it anew with `shopvl index`"
            )

    def query_vector(self, text: str | None, image: bytes | None) -> np.ndarray:
        """(1, D), unit length: words, picture, or the mean of both."""
        if not text and not image:
            raise ShopvlError("nothing to search for: give words, a picture, or both")
        loader, model = self.design.loader, self.design.model
        found = []
        with torch.inference_mode():
            if text:
                found.append(model.embed_text(loader.words([text]).to(self.design.device), "query"))
            if image:
                pixels = loader.pixels([decode(image)]).to(self.design.device)
                found.append(model.embed_image(pixels))
            vector = F.normalize(torch.stack(found).mean(0), dim=-1)
        result: np.ndarray = vector.float().cpu().numpy()
        return result

    def search(
        self,
        text: str | None = None,
        image: bytes | None = None,
        *,
        where: Mapping[str, str] | None = None,
        k: int = 10,
    ) -> list[Hit]:
        """The k most similar products, best first, among those with every property value asked for in `where`.

        `category` in `where` fits any level of the path. Names and values are compared without case.
        """
        allowed = self._allowed(where or {})
        wanted = min(k, self.index.ntotal)
        parameters = None
        if allowed is not None:
            parameters = _among(self.index, allowed)
            wanted = min(wanted, len(allowed))
        if wanted == 0:
            return []
        scores, numbers = self.index.search(self.query_vector(text, image), wanted, params=parameters)
        good = [(float(score), int(number)) for score, number in zip(scores[0], numbers[0], strict=True) if number >= 0]
        return self._hits(good)

    def _allowed(self, where: Mapping[str, str]) -> np.ndarray | None:
        """Row numbers that satisfy every condition; None where there is no condition."""
        if not where:
            return None
        keep = pl.lit(True)
        for name, value in where.items():
            if name.lower() == "category":
                fits = pl.col("category_path").list.eval(pl.element().str.to_lowercase() == value.lower()).list.any()
            else:
                fits = (
                    pl.col("attributes")
                    .list.eval(
                        (pl.element().struct.field("property").str.to_lowercase() == name.lower())
                        & (pl.element().struct.field("value").str.to_lowercase() == value.lower())
                    )
                    .list.any()
                )
            keep = keep & fits.fill_null(False)
        return self.facts.with_row_index("n").filter(keep)["n"].to_numpy().astype(np.int64)

    def _hits(self, found: Sequence[tuple[float, int]]) -> list[Hit]:
        numbers = [number for _, number in found]
        rows = self.products.with_row_index("n").filter(pl.col("n").is_in(numbers)).collect().to_dicts()
        by_number = {row["n"]: row for row in rows}
        return [_hit(score, by_number[number]) for score, number in found]


def _hit(score: float, row: dict[str, Any]) -> Hit:
    return Hit(
        product_id=row["product_id"],
        score=score,
        title=row["title"] or "",
        category_path=tuple(row["category_path"] or ()),
        attributes=tuple((item["property"], item["value"]) for item in row["attributes"] or ()),
        thumbnail=row["thumbnail"] or b"",
    )


def _config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    config: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    if "dimension" not in config:
        raise IndexFolderError(f"{folder} is not an index folder; make one with `shopvl index`")
    if config.get("format") != FORMAT:
        raise IndexFolderError(f"{folder} is in another index format; make it anew with `shopvl index`")
    return config


def conditions(texts: Sequence[str]) -> dict[str, str]:
    """`["colour=Red", ...]` as a mapping. Raises ShopvlError for one without `=`."""
    return dict(_condition(text) for text in texts)


def _condition(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name.strip() or not value.strip():
        raise ShopvlError(f"--where {text!r} is no condition; write PROPERTY=VALUE, such as --where colour=Red")
    return name.strip(), value.strip()
