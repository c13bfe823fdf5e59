"""Named parts of drawn products that a design finds, and parts that it says are not there.

    python experiments/bench/located_parts.py --model runs/glip-shop/design --products 150 --out FILE

The shop is drawn with another seed than the one that was learned from. Pointing: the middle of the best box lies in a
box that the phrase names; beside it the middle of the product's own box. Average precision is of boxes that overlap a
true one by half (AP50), the mean over phrases. Absent: phrases of other products that neither fit a part nor say more
than its name does; of the same name are those such as `short sleeve` of a product with a `long sleeve`.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from shopvl.data.places import fits
from shopvl.design.design import Design
from shopvl.inference.locate import THERE, FoundPlace, locate
from shopvl.synthetic import draw_item
from shopvl.synthetic.generate import ShopItem
from shopvl.synthetic.named import ShownPart
from shopvl.synthetic.shelf import part_boxes
from shopvl.tracking.provenance import write_result
from shopvl.vision.transforms import Box

ABSENT, ALL_BOXES = 6, 0.0  # phrases that do not fit, of each product


def holds(box: Box, x: float, y: float) -> bool:
    """Whether a point lies in a box."""
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def middle(box: Box) -> tuple[float, float]:
    """Of a box."""
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def average_precision(found: Sequence[tuple[int, FoundPlace]], true: dict[int, list[Box]]) -> float:
    """Of one phrase over all pictures (by number): the area under precision, made to fall, over recall."""
    free = {number: list(boxes) for number, boxes in true.items()}
    hits = []
    for number, place in sorted(found, key=lambda pair: -pair[1].score):
        near = [box for box in free.get(number, []) if overlap(place.box, box) >= 0.5]
        if near:
            free[number].remove(max(near, key=lambda box: overlap(place.box, box)))
        hits.append(bool(near))
    right = np.cumsum(hits)
    precision = right / np.arange(1, len(hits) + 1)
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float(sum(p for p, hit in zip(falling, hits, strict=True) if hit) / sum(map(len, true.values())))


def measured(design: Design, items: Sequence[ShopItem]) -> dict[str, float]:
    """All figures."""
    every = sorted({name for item in items for name, _ in part_boxes(item)})
    pointed, centred, seen = list[bool](), list[bool](), list[bool]()
    unseen: dict[bool, list[bool]] = {False: [], True: []}  # by whether a part of that name is there
    found: dict[str, list[tuple[int, FoundPlace]]] = defaultdict(list)
    true: dict[str, dict[int, list[Box]]] = defaultdict(dict)
    for number, item in enumerate(items):
        boxes: dict[str, list[Box]] = defaultdict(list)
        for name, box in part_boxes(item):
            boxes[name].append(box)
        others = [n for n in every if not any(fits(n, own) or fits(own, n) for own in boxes)]
        last = {name.split()[-1] for name in boxes}
        absent = random.Random(number).sample(others, min(ABSENT, len(others)))
        absent = list(dict.fromkeys([*absent, *(name for name in others if name.split()[-1] in last)]))
        own = middle(ShownPart("product", "", item.subject_mask).box)
        (told,) = locate(design, [item.image], [*boxes, *absent], least=ALL_BOXES)
        for one in told:
            if one.phrase not in boxes:
                unseen[one.phrase.split()[-1] in last].append(one.presence < THERE)
                continue
            true[one.phrase][number] = boxes[one.phrase]
            seen.append(one.presence >= THERE)
            pointed.append(any(holds(box, *middle(one.places[0].box)) for box in boxes[one.phrase]))
            centred.append(any(holds(box, *own) for box in boxes[one.phrase]))
        for one in told:
            found[one.phrase] += [(number, place) for place in one.places if one.presence >= THERE]
    precisions = [average_precision(found[name], boxes_of) for name, boxes_of in true.items()]
    return {
        "products": len(items),
        "phrases": len(every),
        "pointing": float(np.mean(pointed)),
        "pointing at the product's middle": float(np.mean(centred)),
        "AP50": float(np.mean(precisions)),
        "present, said to be there": float(np.mean(seen)),
        "absent, said not to be there": float(np.mean(unseen[False])),
        "absent but for the name, said not to be there": float(np.mean(unseen[True])),
        "parts asked for": len(pointed),
        "absent phrases": len(unseen[False]),
        "absent phrases but for the name": len(unseen[True]),
    }


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
    drawn = (draw_item(number, told.seed, told.size_px, overlay_share=0) for number in range(told.products))
    figures = measured(design, [item for item in drawn if item.parts])
    shop = f"drawn shop of seed {told.seed}, {told.products} products at {told.size_px} px"
    write_result(told.out, figures, model=design.name, data={"shop": shop})
    print(figures)


if __name__ == "__main__":
    main()
