"""The model card: what a design is, how good it was measured to be, and where it is weak."""

from __future__ import annotations

from math import isfinite

from shopvl.catalog.vocabulary import DEFAULT_PRECISION
from shopvl.design.design import Design
from shopvl.inference.calibrate import calibration_of
from shopvl.inference.levels import is_level

WEAK_BELOW = 0.8  # accuracy


def _head(design: Design) -> list[str]:
    """What model hubs sort by, as YAML between two lines: the folder can be uploaded as it is."""
    kind = "image-classification" if "image" in design.recipe.inputs else "text-classification"
    tags = [*("shopvl", "e-commerce", "product-tagging"), design.recipe.name]
    return ["---", "library_name: shopvl", f"pipeline_tag: {kind}", "tags:", *(f"- {tag}" for tag in tags), "---", ""]


def model_card(design: Design, note: str = "") -> str:
    """Markdown for the design folder's README, from what calibration measured on held-out rows, with a note on them."""
    recipe = design.recipe
    lines = [
        *_head(design),
        f"# {design.name}",
        "",
        f"A shopvl design: `{recipe.name}` ({recipe.source}), {design.parameter_count() / 1e6:.2f} M parameters.",
        f"What differs from the paper: {recipe.differs}.",
        "",
        f"It answers {len(design.labels)} questions about a product: {', '.join(design.labels)}.",
        "Load it with `shopvl.Design.from_pretrained(FOLDER)`, or name the folder as `--model`.",
        "",
    ]
    if not design.calibration:
        return "\n".join(
            [*lines, "Not calibrated yet: `shopvl calibrate` measures how far its answers can be trusted."]
        )
    lines += [
        "## Measured on held-out rows",
        "",
        *([note, ""] if note else []),
        f"| inputs | property | rows | accuracy | ECE | accepted at {DEFAULT_PRECISION:.0%} precision from |",
        "|---|---|---|---|---|---|",
    ]
    weak = []
    for inputs, by_name in design.calibration.items():
        for name, figures in by_name.items():
            threshold = calibration_of(design, inputs, name).threshold(DEFAULT_PRECISION, above_leaves=is_level(name))
            start = f"probability {threshold:.2f}" if isfinite(threshold) else "never"
            scores = f"{figures['accuracy']:.3f} | {figures['ece']:.3f}"
            lines.append(f"| {inputs} | {name} | {figures['rows']} | {scores} | {start} |")
            if figures["accuracy"] < WEAK_BELOW:
                weak.append(f"{name} from {inputs} ({figures['accuracy']:.0%})")
    weakness = "; ".join(weak) if weak else f"no answer is right in less than {WEAK_BELOW:.0%} of the cases"
    return "\n".join([*lines, "", f"Weak: {weakness}.", ""])
