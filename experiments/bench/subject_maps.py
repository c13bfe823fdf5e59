"""How well subject and overlay text are found: on a drawn shop, where every pixel is known, and on real photos.

    export OMP_NUM_THREADS=1
    python experiments/bench/subject_maps.py shop --count 250 --seed 90210 \\
        --out experiments/results/subject_maps_shop.json
    python experiments/bench/subject_maps.py photos --data ../shared/data/fashion-products-224.parquet \\
        --out experiments/results/subject_maps_photos.json --sheet sheet.png

Words come from the real OCR engine. A patch (16 px of 224, a 14 x 14 grid) holds overlay text when half of it does, in
the truth as in the map. Two truths are reported: `hulls`, the convex hull of the pixels each promotion changed, and
`boxes`, the upright rectangles around promotions (a ribbon across a corner fills half of its rectangle). Frames without
words are neither asked for nor counted against. The subject's IoU leaves out pixels that a promotion covers. On real
photos there is no truth for the subject; half of the promotions there name a false colour and may lie on the product.
"""

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from shopvl.catalog.images import decode
from shopvl.synthetic import draw_item
from shopvl.synthetic.shelf import jpeg
from shopvl.tracking.provenance import write_result
from shopvl.vision.map_picture import drawn_map
from shopvl.vision.ocr import Reader, Word
from shopvl.vision.overlays import TextBox, draw_lying_text, draw_overlays
from shopvl.vision.patches import OVERLAY, SUBJECT, KeepRule, patch_shares
from shopvl.vision.subject import SubjectMap, subject_map

GRID = (14, 14)


class PatchCount:
    """Patches found, asked for, and both; over many pictures."""

    def __init__(self) -> None:
        self.found = self.wanted = self.both = 0

    def add(self, found: np.ndarray, wanted: np.ndarray) -> None:
        """Count one picture's patches, bool (rows, columns) each."""
        self.found += int(found.sum())
        self.wanted += int(wanted.sum())
        self.both += int((found & wanted).sum())

    def figures(self) -> dict[str, float | int]:
        """Recall and precision."""
        recall, precision = self.both / max(1, self.wanted), self.both / max(1, self.found)
        return {"recall": round(recall, 3), "precision": round(precision, 3), "patches": self.wanted}


def of_boxes(boxes: list[TextBox], size: tuple[int, int], kinds: tuple[str, ...]) -> np.ndarray:
    """bool (Y, X) inside any box of those kinds."""
    mask = np.zeros((size[1], size[0]), dtype=bool)
    for box in boxes:
        if box.kind in kinds:
            rows = slice(round(box.y0 * size[1]), round(box.y1 * size[1]))
            mask[rows, round(box.x0 * size[0]) : round(box.x1 * size[0])] = True
    return mask


def hulls(changed: np.ndarray, boxes: list[TextBox]) -> np.ndarray:
    """bool (Y, X) inside the convex hull of the changed pixels of each promotion."""
    mask = np.zeros(changed.shape, dtype=np.uint8)
    for box in boxes:
        if box.kind == "overlay":
            points = np.argwhere(changed & of_boxes([box], changed.shape[::-1], ("overlay",)))[:, ::-1]
            if len(points):
                cv2.fillConvexPoly(mask, cv2.convexHull(np.ascontiguousarray(points, dtype=np.int32)), 1)
    return mask > 0


def shares(mask: np.ndarray) -> np.ndarray:
    """Share (rows, columns) of each patch that a mask covers."""
    height, width = mask.shape
    whole = np.zeros(mask.shape, np.float32)
    return patch_shares(SubjectMap(mask.astype(np.float32), whole, (width, height), "border"), GRID)[..., SUBJECT]


def at_full_size(share: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map as bool (Y, X) at the picture's size."""
    return np.asarray(Image.fromarray(share).resize(size, Image.Resampling.BILINEAR)) > 0.5


class Tally:
    """Everything that is counted over a set of pictures with promotions on them."""

    def __init__(self) -> None:
        self.hulls, self.boxes = PatchCount(), PatchCount()
        self.printed = self.printed_as_overlay = 0

    def add(self, shown: SubjectMap, before: Image.Image, after: Image.Image, boxes: list[TextBox]) -> None:
        """Count one picture: with promotions, the same without, and where they are."""
        size = after.size
        in_boxes = of_boxes(boxes, size, ("overlay",))
        changed = hulls(np.any(np.asarray(before) != np.asarray(after), axis=-1), boxes)
        map_shares = patch_shares(shown, GRID)
        frame = shares(of_boxes(boxes, size, ("border",))) > 0.1
        found = (map_shares[..., OVERLAY] >= 0.5) & ~frame
        self.hulls.add(found, (shares(changed) >= 0.5) & ~frame)
        self.boxes.add(found, (shares(in_boxes) >= 0.5) & ~frame)
        printed = [box for box in boxes if box.kind == "product"]
        for word in (*shown.overlays, *shown.printed):
            if any(_same_place(word, box) for box in printed) and not _touches(word, in_boxes):
                self.printed += 1
                self.printed_as_overlay += word in shown.overlays

    def figures(self) -> dict[str, object]:
        """All figures."""
        return {
            "overlay_patches_hulls": self.hulls.figures(),
            "overlay_patches_boxes": self.boxes.figures(),
            "words_printed_on_products_that_were_read": self.printed,
            "of_those_taken_for_overlays": self.printed_as_overlay,
        }


def _same_place(word: Word, box: TextBox) -> bool:
    x0, y0, x1, y1 = word.box
    return box.x0 <= (x0 + x1) / 2 <= box.x1 and box.y0 <= (y0 + y1) / 2 <= box.y1


def _touches(word: Word, mask: np.ndarray) -> bool:
    height, width = mask.shape
    x0, y0, x1, y1 = word.box
    part = mask[int(y0 * height) : int(y1 * height) + 1, int(x0 * width) : int(x1 * width) + 1]
    return bool(part.mean() > 0.3)


def measure_shop(count: int, seed: int) -> dict[str, object]:
    """A drawn shop as `shopvl catalog synth` makes it: a quarter of the pictures carries promotions."""
    tally = Tally()
    overlap: dict[str, list[float]] = defaultdict(list)
    seconds = 0.0
    with Reader(decode) as reader:
        for number in range(count):
            item = draw_item(number, seed, 224)
            bare = draw_item(number, seed, 224, overlay_share=0.0).image
            stored = jpeg(item.image)
            words = reader.read(stored).words
            picture = decode(stored)
            started = time.process_time()
            shown = subject_map(picture, words)
            seconds += time.process_time() - started
            tally.add(shown, bare, item.image, list(item.text_boxes))
            open_to_view = ~of_boxes(list(item.text_boxes), picture.size, ("overlay", "border"))
            found = at_full_size(shown.subject, picture.size)
            truth = item.subject_mask & open_to_view
            overlap[item.background].append(
                float((found & truth).sum() / max(1, ((found | truth) & open_to_view).sum()))
            )
    return {
        "pictures": count,
        "seed": seed,
        "subject_iou": {name: round(float(np.mean(values)), 3) for name, values in sorted(overlap.items())},
        "subject_iou_worst_tenth": {
            name: round(float(np.percentile(values, 10)), 3) for name, values in sorted(overlap.items())
        },
        "map_ms": round(1000 * seconds / count, 1),
        **tally.figures(),
    }


def measure_photos(data: Path, count: int, seed: int, sheet: Path | None) -> dict[str, object]:
    """Real photos with promotions or lying text drawn on them; and the same photos as they are."""
    images = pq.read_table(data, columns=["image"]).column("image")
    chosen = np.random.default_rng(seed).choice(len(images), count, replace=False)
    promotions, lies = Tally(), Tally()
    plain_patches, plain_found, kept = 0, 0, []
    tiles: list[Image.Image] = []
    seconds = 0.0
    with Reader(decode) as reader:
        for place, number in enumerate(chosen.tolist()):
            photo = decode(images[number].as_py()["bytes"])
            rng = np.random.default_rng([seed, place])
            lying = place % 2 == 1
            drawn, boxes = draw_lying_text(photo, rng) if lying else draw_overlays(photo, rng)
            stored = jpeg(drawn)
            shown = subject_map(decode(stored), reader.read(stored).words)
            (lies if lying else promotions).add(shown, photo, drawn, boxes)
            stored = jpeg(photo)
            words = reader.read(stored).words
            started = time.process_time()
            alone = subject_map(photo, words)
            seconds += time.process_time() - started
            patches = patch_shares(alone, GRID)
            plain_patches += patches[..., 0].size
            plain_found += int((patches[..., OVERLAY] >= 0.5).sum())
            kept.append(float(KeepRule().keep_mask(patches).mean()))
            if len(tiles) < 60:
                tiles.append(drawn_map(photo, alone) if place % 3 else drawn_map(drawn, shown))
    if sheet is not None:
        contact_sheet(tiles).save(sheet)
    both = PatchCount()
    for part in (promotions.hulls, lies.hulls):
        both.found, both.wanted, both.both = both.found + part.found, both.wanted + part.wanted, both.both + part.both
    return {
        "photos": count,
        "seed": seed,
        "overlay_patches_hulls_all": both.figures(),
        "promotions": promotions.figures(),
        "lying_text": lies.figures(),
        "same_photos_without_overlays": {
            "patches_taken_for_overlay": round(plain_found / plain_patches, 4),
            "patches_kept_by_the_default_rule": round(float(np.mean(kept)), 3),
            "map_ms": round(1000 * seconds / count, 1),
        },
    }


def contact_sheet(tiles: list[Image.Image], columns: int = 10, side: int = 150) -> Image.Image:
    """Pictures side by side."""
    rows = -(-len(tiles) // columns)
    paper = Image.new("RGB", (columns * side, rows * side), (255, 255, 255))
    for place, tile in enumerate(tiles):
        small = tile.copy()
        small.thumbnail((side, side))
        paper.paste(small, (place % columns * side, place // columns * side))
    return paper


def main() -> None:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("shop", "photos"))
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=4711)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    if told.what == "photos" and told.data is None:
        parser.error("photos are read from --data, a product table with pictures")
    figures = (
        measure_shop(told.count, told.seed)
        if told.what == "shop"
        else measure_photos(told.data, told.count, told.seed, told.sheet)
    )
    print(json.dumps(figures, indent=1))
    if told.out is not None:
        write_result(told.out, figures, data=[told.data] if told.data else [])


if __name__ == "__main__":
    main()
