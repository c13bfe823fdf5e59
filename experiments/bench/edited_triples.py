"""Triples of a property, its value and where it is seen, on drawn products: what an edit of the value changes.

    python experiments/bench/edited_triples.py --model runs/relations/design --products 150 --out FILE

The shop is drawn with another seed than the one that was learned from. Each known value of a product is a statement,
and so is one edit of it, which names another value that does not hold. An edit flips a triple where the picture is said
to show the statement and to deny the edit. Seen: parts and whole products that show the property. Not seen: properties
that no picture shows (material, gender, season, usage, brand), and parts that are covered. Pointing: the middle of the
best box lies in a box that shows the property.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from shopvl.data.covering import cover
from shopvl.data.editing import other_fact
from shopvl.data.relations import Triple, is_seen, statement_of, triples_of
from shopvl.design.design import Design
from shopvl.inference.verify import Verified, verify
from shopvl.synthetic import draw_item
from shopvl.synthetic.generate import ShopItem
from shopvl.synthetic.shelf import property_boxes
from shopvl.tracking.provenance import write_result
from shopvl.vision.transforms import WHOLE


def covered_picture(item: ShopItem, draw: random.Random) -> tuple[Image.Image, list[tuple[float, float, float, float]]]:
    """The product's picture with one part of it covered, and the covers."""
    pixels_3YX, covers = cover(np.asarray(item.image).transpose(2, 0, 1), property_boxes(item), draw)
    return Image.fromarray(np.ascontiguousarray(pixels_3YX.transpose(1, 2, 0))), covers


def points_at(one: Verified, triple: Triple) -> bool:
    """Whether the middle of its best box lies where the property is seen."""
    if not one.places:
        return False
    x0, y0, x1, y1 = one.places[0].box
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return any(low <= x <= high and top <= y <= bottom for low, top, high, bottom in triple.boxes)


def kind_of(triple: Triple, covers: Sequence[tuple[float, float, float, float]], parts: set[str], name: str) -> str:
    """Where a triple is seen, or why it is not; "" where some of it is."""
    seen = is_seen(triple, covers)
    if seen is None:
        return ""
    if seen:
        return "a part" if name in parts else "the whole product"
    return "a covered part" if triple.boxes else "no picture"


def measured(design: Design, items: Sequence[ShopItem]) -> dict[str, float]:
    """All figures, of triples by where they are seen."""
    ontology = design.ontology
    flips, before, after, right, pointed = (defaultdict[str, list[bool]](list) for _ in range(5))
    for number, item in enumerate(items):
        draw = random.Random(number)
        holding = ontology.fact_ids(item.category_path, item.facts)
        parts = {part.about for part in item.parts if part.about}
        other, hidden = covered_picture(item, draw)
        for picture, covers in ((item.image, []), *([(other, hidden)] if hidden else [])):
            asked = []
            for triple in triples_of(holding, property_boxes(item), WHOLE[:4], ontology):
                kind = kind_of(triple, covers, parts, ontology.facts[triple.fact].property)
                edit = other_fact(triple.fact, holding, ontology, draw)
                # a covered picture is shown for what it hides
                if not kind or edit is None or (kind != "a covered part") == bool(covers):
                    continue
                both = [text for fact in (triple.fact, edit) if (text := statement_of(fact, ontology)) is not None]
                if len(both) == 2:
                    asked.append((triple, kind, both))
            (told,) = verify(design, [picture], [text for _, _, both in asked for text in both])
            for (triple, kind, _), true, edited in zip(asked, told[::2], told[1::2], strict=True):
                wanted = ("shown", "denied") if is_seen(triple, covers) else ("not seen", "not seen")
                before[kind].append(true.verdict == "shown")
                after[kind].append(edited.verdict == "denied")
                flips[kind].append(true.verdict == "shown" and edited.verdict == "denied")
                right[kind] += [true.verdict == wanted[0], edited.verdict == wanted[1]]
                if triple.boxes and is_seen(triple, covers):
                    pointed[kind] += [points_at(true, triple)]
    figures: dict[str, float] = {"products": len(items)}
    for kind in sorted(flips):
        figures[f"{kind}: triples"] = len(flips[kind])
        figures[f"{kind}: an edit flips yes to no"] = float(np.mean(flips[kind]))
        figures[f"{kind}: true ones said to be shown"] = float(np.mean(before[kind]))
        figures[f"{kind}: edits said to be denied"] = float(np.mean(after[kind]))
        figures[f"{kind}: verdicts that are right"] = float(np.mean(right[kind]))
        if pointed[kind]:
            figures[f"{kind}: pointing"] = float(np.mean(pointed[kind]))
    for name, kinds in (("seen", ("a part", "the whole product")), ("not seen", ("a covered part", "no picture"))):
        figures[f"{name}: an edit flips yes to no"] = float(np.mean([flip for kind in kinds for flip in flips[kind]]))
    return figures


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--products", type=int, default=150)
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--size-px", type=int, default=128)
    parser.add_argument("--out", type=Path, required=True)
    told = parser.parse_args()
    torch.set_num_threads(1)
    design = Design.from_pretrained(told.model)
    items = [draw_item(number, told.seed, told.size_px, overlay_share=0) for number in range(told.products)]
    figures = measured(design, items)
    shop = f"drawn shop of seed {told.seed}, {told.products} products at {told.size_px} px"
    write_result(told.out, figures, model=design.name, data={"shop": shop})
    print(figures)


if __name__ == "__main__":
    main()
