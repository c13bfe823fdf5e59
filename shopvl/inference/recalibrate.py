"""Thresholds set anew from a few products that people reviewed: what was measured on other products is not promised."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from shopvl.catalog.corrections import Correction, corrected, merged, read_corrections
from shopvl.catalog.readers import Catalog
from shopvl.catalog.schema import PRODUCT_SCHEMA
from shopvl.catalog.vocabulary import UNKNOWN
from shopvl.design.design import Design
from shopvl.errors import CatalogError, DesignError
from shopvl.inference.calibrate import MIN_ROWS, AnswerCalibration, read_held_out, store
from shopvl.inference.features import Report
from shopvl.inference.thresholds import MISSED

SAMPLE = "`shopvl review export TAGS CATALOG --sample 200` draws products at random"


@dataclass(frozen=True)
class ReviewedCatalog(Catalog):
    """The reviewed products of a catalog; of what is true of them only what was decided."""

    corrections: tuple[Correction, ...] = field(default=(), kw_only=True)

    def batches(self, rows: int = 1024, *, columns: Collection[str] | None = None) -> Iterator[pl.DataFrame]:
        """As `Catalog.batches`. A property that a product does not have is `unknown`, and so is the category."""
        said = [replace(correction, value=correction.value or UNKNOWN) for correction in self.corrections]
        reviewed = pl.col("product_id").is_in(list({correction.product_id for correction in said}))
        blank = [pl.lit(None, PRODUCT_SCHEMA[name]).alias(name) for name in ("category_path", "attributes")]
        for frame in super().batches(rows):
            if (kept := frame.filter(reviewed).with_columns(blank)).height:
                for made in corrected([kept], said):
                    yield made if columns is None else made.select(columns)

    def count(self) -> int:
        """Number of reviewed products that the catalog has."""
        return sum(frame.height for frame in self.batches(columns=("product_id",)))


@dataclass(frozen=True)
class Recalibrated:
    """What reviewed products can show of one property's answers from one choice of inputs."""

    inputs: str
    name: str  # of the property
    calibration: AnswerCalibration

    @property
    def can_show(self) -> float:
        """The precision that so many answers would show if all of them were right."""
        return float(MISSED ** (1 / self.calibration.rows))


def recalibrate(
    design: Design, catalog: Catalog, file: Path, report: Report = lambda stage, share: None
) -> list[Recalibrated]:
    """Set the thresholds of a calibrated design from corrections about products that were drawn at random.

    Temperatures, conflicts and what else was fitted to many rows stay; properties that fewer than MIN_ROWS products
    tell of stay as they are. Raises DesignError for a design that is not calibrated, and CatalogError for corrections
    that cannot show anything about the catalog.
    """
    if not design.calibration:
        raise DesignError(
            f"the design {design.name} was never calibrated, and a few reviewed products are too few to begin with; "
            "run `shopvl calibrate` or `shopvl tune` on labelled rows first"
        )
    corrections = merged(read_corrections(file))
    drawn = tuple(correction for correction in corrections if correction.at_random)
    if not drawn:
        raise CatalogError(
            f"none of the {len(corrections)} corrections in {file} is about a product that was drawn at random, so "
            f"they say nothing about the others; {SAMPLE}"
        )
    told = catalog.source, catalog.root, catalog.plan, catalog.split
    reviewed = ReviewedCatalog(*told, corrections=drawn, parents=catalog.parents)
    if not reviewed.count():
        raise CatalogError(f"none of the {len(drawn)} corrections in {file} is about a product of {catalog.path}")
    held_out = read_held_out(design, reviewed, report=report)
    measured = held_out.calibrations()
    if not any(measured.values()):
        raise CatalogError(
            f"{file} tells of no property for {MIN_ROWS} products of {catalog.path} or more, and fewer show nothing; "
            f"{SAMPLE}"
        )
    store(design, measured)
    return [
        Recalibrated(inputs, name, by_name[name])
        for inputs, by_name in measured.items()
        for name in design.labels
        if name in by_name
    ]
