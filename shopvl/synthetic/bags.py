"""Bags, drawn: a path or two, their material, and how light falls on them."""

from dataclasses import replace

import numpy as np

from shopvl.synthetic.fabric import Stuff, plain, shade
from shopvl.synthetic.looks import BRASS, METAL, Look, leather, metal, patch, spread
from shopvl.synthetic.outline import Path, band, box, mirrored, moved, oval
from shopvl.synthetic.paint import Sketch, fold, thinner


def _chain(sketch: Sketch, path: Path, link: float) -> None:
    """Links along a path, drawn as a dotted metal thread with a shine."""
    sketch.part(band(path, link), metal(BRASS, 0.006), drop=0.2)
    sketch.stitch(path, (96, 72, 34), link * 0.5, link * 0.55, 0.75)


def handbag(look: Look, rng: np.random.Generator) -> Sketch:
    """A structured bag with a handle, a shoulder strap or a chain."""
    sketch = Sketch(standing=True, turn=2)
    width, height = spread(rng, 0.42, 0.5), spread(rng, 0.55, 0.72)
    stuff = leather(look.cloth(spread(rng, 0.08, 0.12), block=0.2), 0.05)
    strap = thinner(replace(stuff, cloth=plain(look.trim(0.2))))
    gold = BRASS if rng.random() < 0.6 else METAL
    kind = look.trait("Strap")
    reach = {"Top Handle": 0.34, "Shoulder Strap": 0.62, "Chain": 0.58}[kind]
    inset = width * (0.5 if kind == "Top Handle" else 0.82)
    arc: Path = [(-inset, 0.04), (-inset * 0.9, -reach, 1), (0.0, -reach, 1), (inset * 0.9, -reach, 1), (inset, 0.04)]
    with sketch.naming("handle" if kind == "Top Handle" else "strap", "Strap"):
        if kind == "Chain":
            _chain(sketch, arc, 0.03)
        else:
            if kind == "Top Handle":
                sketch.part(band(moved(arc, 0.02, -0.03), 0.036), strap, light=0.72, drop=0)
            sketch.part(band(arc, 0.045 if kind == "Top Handle" else 0.034), strap, drop=0.3)
    body = mirrored(
        [
            (0.0, -0.01),
            (width * 0.82, -0.01),
            (width * 0.9, 0.02, 1),
            (width, height * 0.85),
            (width * 0.98, height, 1),
            (width * 0.85, height),
            (0.0, height),
        ]
    )
    sketch.part(
        body, stuff, folds=(fold((-width * 0.6, height * 0.8), (width * 0.5, height * 0.86), 0.06, 0.1),), drop=0.3
    )
    rim: Path = [
        (-width * 0.9, 0.05),
        (-width * 0.97, height * 0.93),
        (-width * 0.8, height - 0.03),
        (width * 0.8, height - 0.03),
        (width * 0.97, height * 0.93),
        (width * 0.9, 0.05),
    ]
    sketch.stitch(moved(rim, scale=0.965), look.thread(), 0.006, 0.016)
    if rng.random() < 0.6:
        _flap(sketch, stuff, look, width, height, gold)
    else:
        with sketch.naming("zip"):
            sketch.part(box(-width * 0.86, -0.02, width * 0.86, 0.02, 0.01), thinner(strap), drop=0.3)
            sketch.stitch([(-width * 0.8, 0.0), (width * 0.8, 0.0)], gold, 0.012, 0.01, 0.9)
        sketch.part(box(-0.05, height * 0.3, 0.05, height * 0.3 + 0.035, 0.006), metal(gold), drop=0.3)
    for side in (1, -1):
        x = side * inset
        sketch.part(box(x - 0.035, 0.0, x + 0.035, 0.1, 0.02), strap, drop=0.3)
        sketch.part(oval(x, 0.03, 0.024, 0.024), metal(gold), holes=(oval(x, 0.03, 0.014, 0.014),), drop=0.3)
    return sketch


def _flap(
    sketch: Sketch, stuff: Stuff, look: Look, width: float, height: float, gold: tuple[float, float, float]
) -> None:
    drop = height * 0.52
    flap = mirrored(
        [
            (0.0, -0.025),
            (width * 0.84, -0.025),
            (width * 0.93, 0.03, 1),
            (width * 0.9, drop * 0.62),
            (width * 0.7, drop * 0.98, 1),
            (0.0, drop),
        ]
    )
    with sketch.naming("flap"):
        sketch.part(flap, replace(stuff, puff=0.03), drop=0.45)
    line: Path = [
        (-width * 0.87, drop * 0.55),
        (-width * 0.68, drop * 0.92, 1),
        (0, drop * 0.93),
        (width * 0.68, drop * 0.92, 1),
        (width * 0.87, drop * 0.55),
    ]
    sketch.stitch(line, look.thread(), 0.006, 0.016)
    with sketch.naming("clasp"):
        sketch.part(box(-0.05, drop - 0.055, 0.05, drop + 0.03, 0.016), metal(gold), drop=0.4)
        sketch.part(oval(0.0, drop - 0.012, 0.014, 0.014), metal(shade(gold, 0.6)), drop=0.1)


def backpack(look: Look, rng: np.random.Generator) -> Sketch:
    """A rounded pack with a front pocket, zips and straps."""
    sketch = Sketch(standing=True, turn=2.5)
    stuff = Stuff(look.cloth(spread(rng, 0.09, 0.13)), puff=0.07, relief=0.5, wrinkle=0.09, grain="weave")
    trim = Stuff(plain(look.trim(0.35)), puff=0.018, relief=0.35)
    for side in (1, -1):
        strap: Path = [(side * 0.2, 0.05), (side * 0.44, 0.12, 1), (side * 0.45, 0.6, 1), (side * 0.36, 0.86)]
        with sketch.naming("strap"):
            sketch.part(band(strap, 0.075), trim, light=0.8, drop=0)
    with sketch.naming("handle"):
        sketch.part(band([(-0.07, 0.02), (-0.06, -0.11, 1), (0.06, -0.11, 1), (0.07, 0.02)], 0.036), trim, drop=0.2)
    body = mirrored(
        [(0.0, -0.02), (0.2, -0.02, 1), (0.345, 0.12, 1), (0.36, 0.45), (0.375, 0.85, 1), (0.35, 0.95, 1), (0.0, 0.95)]
    )
    folds = (
        fold((-0.28, 0.3), (-0.1, 0.36), 0.04, -0.15),
        fold((0.27, 0.33), (0.12, 0.38), 0.04, -0.15),
        fold((-0.2, 0.12), (0.2, 0.13), 0.04, 0.12),
    )
    sketch.part(body, stuff, folds=folds, drop=0.3)
    zipper: Path = [(-0.3, 0.42), (-0.3, 0.1, 1), (0.0, 0.09, 1), (0.3, 0.1, 1), (0.3, 0.42)]
    with sketch.naming("zip"):
        sketch.part(band(zipper, 0.022), trim, drop=0.15)
    sketch.stitch(zipper, METAL, 0.008, 0.009, 0.7)
    pocket = mirrored(
        [(0.0, 0.47), (0.22, 0.47, 1), (0.28, 0.55, 1), (0.285, 0.8), (0.28, 0.91, 1), (0.2, 0.91), (0.0, 0.91)]
    )
    front = replace(stuff, cloth=plain(look.trim(0.1)) if rng.random() < 0.4 else stuff.cloth, puff=0.05)
    with sketch.naming("pocket"):
        sketch.part(pocket, front, folds=(fold((-0.18, 0.85), (0.1, 0.82), 0.05, 0.12),), drop=0.4)
    with sketch.naming("zip"):
        sketch.part(band([(-0.25, 0.55), (0, 0.53, 1), (0.25, 0.55)], 0.02), trim, drop=0.15)
        sketch.stitch([(-0.25, 0.55), (0, 0.53, 1), (0.25, 0.55)], METAL, 0.008, 0.009, 0.7)
        sketch.part(box(0.2, 0.54, 0.216, 0.61, 0.006), metal(), drop=0.35)
    if look.printed:
        with sketch.naming("logo"):
            sketch.words(look.printed, (0.0, 0.7), 0.075, 0.4, look.figure)
    else:
        with sketch.naming("patch"):
            sketch.part(box(-0.07, 0.64, 0.07, 0.73, 0.012), patch(), drop=0.25)
    for side in (1, -1):
        pouch: Path = [(side * 0.345, 0.6), (side * 0.395, 0.64, 1), (side * 0.39, 0.92, 1), (side * 0.34, 0.94)]
        with sketch.naming("pocket"):
            sketch.part(pouch, thinner(stuff, 0.02), light=0.9, drop=0.2)
    return sketch
