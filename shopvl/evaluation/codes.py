"""What a picture keeps of itself in codes: how many of these are in use, and how near to it is what they make."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from shopvl.batch import Batch, Modality, require
from shopvl.catalog.readers import Catalog
from shopvl.data.rows import RejectedRow
from shopvl.design.design import Design
from shopvl.errors import CatalogError, DesignError
from shopvl.files import write_object
from shopvl.inference.encode import encode
from shopvl.models.picture_codes import CodesHead, PictureTokenizer
from shopvl.reporting.page import Figure, FoundProduct, Page

SHOWN, ROWS = 12, 128  # pictures on the page; rows read at a time
FIGURES, REPORT = "codes.json", "codes.html"


@dataclass
class _Sums:
    """Pictures so far: how often each code came, squared errors, and the first pictures in their three forms."""

    counts_K: np.ndarray
    errors: list[np.ndarray] = field(default_factory=list)  # (B, 2) each: of what codes make, of few enlarged pixels
    shown: list[tuple[np.ndarray, ...]] = field(default_factory=list)
    rejects: int = 0


def evaluate_codes(
    design: Design, catalog: Catalog, folder: Path, report: Callable[[int], None] = lambda rows: None
) -> dict[str, Any]:
    """Write `codes.json` and `codes.html`, with originals beside what their codes make; returns the figures.

    In use is a code that any patch has; perplexity is as many codes as would be as hard to guess, all alike. PSNR is in
    dB, of the mean squared error of all pixels in [0, 1]; beside it that of pictures of as many pixels as there are
    codes, enlarged (bicubic). Raises DesignError for a design without codes, CatalogError where no picture can be read.
    """
    tokenizer, grid = tokenizer_of(design), design.recipe.patch_grid or (0, 0)  # codes are of patches
    seen = _Sums(np.zeros(tokenizer.book.codes, dtype=np.int64))

    def read(batch: Batch, inputs: tuple[Modality, ...]) -> Mapping[str, Tensor]:
        pixels_B3YX = require(batch.pictures, "pictures", by="the report of codes").pixels_B3YX
        return _read(tokenizer, pixels_B3YX, grid, seen)

    for item in encode(design, catalog.batches(ROWS), catalog.root, ("image",), read):
        if isinstance(item, RejectedRow):
            seen.rejects += 1
        else:
            seen.errors.append(item.values["errors"])
        report(seen.rejects + sum(map(len, seen.errors)))
    if not seen.errors:
        raise CatalogError(f"none of the {seen.rejects} rows of {catalog.path} has a picture that can be read")
    figures = _figures(seen, grid)
    folder.mkdir(parents=True, exist_ok=True)
    write_object(folder / FIGURES, figures)
    _page(figures, seen, design, catalog).write(folder / REPORT)
    return figures


def tokenizer_of(design: Design) -> PictureTokenizer:
    """The part of a design that makes codes. Raises DesignError where it has none."""
    heads = dict(design.model.named_children()).get("heads")
    head = heads["codes"] if isinstance(heads, nn.ModuleDict) and "codes" in heads else None
    if not isinstance(head, CodesHead):
        raise DesignError(f"{design.recipe.name} has no codes of pictures; use a design with the objective vq, as beit")
    return head.tokenizer


def _read(tokenizer: PictureTokenizer, pixels_B3YX: Tensor, grid: tuple[int, int], seen: _Sums) -> dict[str, Tensor]:
    tokens_BP = tokenizer.tokens(pixels_B3YX)
    made_B3YX = tokenizer.picture(tokens_BP, grid)
    few_B3yx = F.interpolate(pixels_B3YX, grid, mode="area")
    large_B3YX = F.interpolate(few_B3yx, pixels_B3YX.shape[2:], mode="bicubic").clamp(0, 1)
    seen.counts_K += np.bincount(tokens_BP.flatten().cpu().numpy(), minlength=len(seen.counts_K))
    forms = (pixels_B3YX, made_B3YX, large_B3YX)
    missing = SHOWN - len(seen.shown)
    seen.shown += list(zip(*(part[:missing].cpu().numpy() for part in forms), strict=True))
    errors = [(part - pixels_B3YX).square().mean((1, 2, 3)) for part in (made_B3YX, large_B3YX)]
    return {"errors": torch.stack(errors, dim=1)}


def _figures(seen: _Sums, grid: tuple[int, int]) -> dict[str, Any]:
    errors_B2 = np.concatenate(seen.errors).astype(np.float64)
    shares = seen.counts_K[seen.counts_K > 0] / seen.counts_K.sum()
    made, enlarged = (float(-10 * np.log10(max(error, 1e-10))) for error in errors_B2.mean(axis=0))
    return {
        "pictures": len(errors_B2),
        "rejects": seen.rejects,
        "grid": list(grid),
        "codes": len(seen.counts_K),
        "used": len(shares),
        "used_share": len(shares) / len(seen.counts_K),
        "perplexity": float(np.exp(-(shares * np.log(shares)).sum())),
        "psnr": made,
        "psnr_enlarged": enlarged,
    }


def _page(figures: Mapping[str, Any], seen: _Sums, design: Design, catalog: Catalog) -> Page:
    rows, columns = figures["grid"]
    facts = {"model": design.name, "catalog": catalog.path.name, "split": catalog.split or "all"}
    page = Page("Codes of pictures", f"{figures['pictures']:,} pictures, {rows} x {columns} codes each", facts=facts)
    page.cards(
        [
            Figure(
                value=f"{figures['used']:,} of {figures['codes']:,}", label="codes in use", share=figures["used_share"]
            ),
            Figure(value=f"{figures['perplexity']:,.0f}", label="perplexity", note="codes, if all were used alike"),
            Figure(
                value=f"{figures['psnr']:.1f} dB",
                label="PSNR",
                note=f"{figures['psnr_enlarged']:.1f} of {rows} x {columns} pixels, enlarged",
                tone="good" if figures["psnr"] > figures["psnr_enlarged"] else "bad",
            ),
        ]
    )
    page.section("Pictures and what codes make of them", "The first ones of the catalog.")
    names = ("as the model sees them", f"made of {rows} x {columns} codes", f"{rows} x {columns} pixels, enlarged")
    for name, form in zip(names, zip(*seen.shown, strict=True), strict=True):
        page.search_strip(name, [FoundProduct(image=_png(pixels_3YX)) for pixels_3YX in form])
    return page


def _png(pixels_3YX: np.ndarray) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray((pixels_3YX.transpose(1, 2, 0) * 255).round().astype(np.uint8)).save(encoded, "PNG")
    return encoded.getvalue()
