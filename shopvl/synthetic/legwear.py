"""Trousers, shorts and socks, drawn."""

import numpy as np

from shopvl.synthetic.fabric import Stuff, mix, plain
from shopvl.synthetic.looks import BRASS, METAL, Look, metal, spread, woven
from shopvl.synthetic.outline import Knot, Path, band, box, flipped, moved, oval
from shopvl.synthetic.paint import Fold, Sketch, fold, thinner


def _denim(look: Look) -> Stuff:
    return Stuff(look.plain, puff=0.035, relief=0.42, wrinkle=0.12, grain="twill")


def _leg(fit: str, end: float, rng: np.random.Generator) -> list[Knot]:
    """The right leg from the waist down to `end`."""
    knee, foot = {"Skinny": (0.165, 0.118), "Straight": (0.2, 0.185), "Wide": (0.235, 0.285)}[fit]
    inner, part = {"Skinny": 0.045, "Straight": 0.03, "Wide": 0.015}[fit], spread(rng, -0.01, 0.015)
    knee_y = min(0.75, end * 0.7)
    if end < 0.7:
        knee, foot, inner = 0.235, 0.25, 0.02
    return [
        *((0.0, 0.02), (0.19, 0.0), (0.235, 0.2, 1), (0.235, 0.3), (knee + part, knee_y, 1)),
        *((foot + part, end), (inner * 0.7, end + 0.012), (inner, knee_y, 1), (0.0, 0.4)),
    ]


def _trousers(sketch: Sketch, look: Look, stuff: Stuff, end: float, rng: np.random.Generator) -> None:
    fit = look.trait("Fit", "Straight")
    sketch.part([(-0.185, 0.0), (0, -0.03, 1), (0.185, 0.0), (0, 0.08, 1)], stuff, light=0.5, drop=0)
    for side in (-1, 1):
        path = _leg(fit, end, rng)
        folds = _leg_folds(rng, side, end)
        with sketch.naming("leg", "Fit"):
            sketch.part(path if side > 0 else flipped(path), stuff, folds=folds, drop=0.2)
        hem: Path = [path[5], path[6]]
        lifted = moved(hem, dy=-0.03)
        sketch.stitch(lifted if side > 0 else flipped(lifted), look.thread(), 0.005, 0.014)
    with sketch.naming("waistband"):
        sketch.part(band([(-0.192, 0.022), (0, 0.06, 1), (0.192, 0.022)], 0.05), thinner(stuff), drop=0.25)


def _leg_folds(rng: np.random.Generator, side: int, end: float) -> tuple[Fold, ...]:
    folds = []
    for _ in range(3):
        y = spread(rng, 0.26, 0.36)
        folds.append(
            fold((side * 0.02, y + 0.05), (side * spread(rng, 0.1, 0.2), y - 0.03), 0.022, spread(rng, -0.25, -0.1))
        )
    for share in (0.62, 0.7, 0.92) if end > 0.7 else (0.85,):
        y = end * share + spread(rng, -0.02, 0.02)
        folds.append(
            fold((side * 0.05, y), (side * 0.17, y + spread(rng, -0.04, 0.04)), 0.03, spread(rng, -0.22, 0.18), 0.1)
        )
    folds.append(fold((side * 0.12, 0.3), (side * 0.11, end * 0.95), 0.05, 0.08))
    return tuple(folds)


def _fly_and_pockets(sketch: Sketch, look: Look, thread: tuple[float, float, float]) -> None:
    sketch.seam([(0.0, 0.06), (0.0, 0.41)], 0.006, 0.45)
    sketch.stitch([(0.03, 0.06), (0.032, 0.2), (0.02, 0.255, 1), (0.0, 0.27)], thread)
    for side in (1, -1):
        pocket: Path = [(0.1, 0.05), (0.115, 0.13, 1), (0.215, 0.15)]
        pocket = pocket if side > 0 else flipped(pocket)
        sketch.seam(pocket, 0.008, 0.4)
        sketch.stitch(moved(pocket, dy=0.014), thread)
        loop: Path = [(0.105, 0.0), (0.121, -0.002), (0.121, 0.066), (0.105, 0.068)]
        sketch.part(loop if side > 0 else flipped(loop), thinner(_denim(look), 0.006), drop=0.3)
    with sketch.naming("button", "Closure"):
        sketch.part(oval(0.0, 0.041, 0.014, 0.014), metal(BRASS if thread[0] > 150 else METAL, 0.006), drop=0.4)


def jeans(look: Look, rng: np.random.Generator) -> Sketch:
    """Denim with contrasting stitches, skinny, straight or wide."""
    sketch = Sketch(turn=4)
    stuff = _denim(look)
    _trousers(sketch, look, stuff, spread(rng, 1.2, 1.3), rng)
    _faded(sketch, look)
    thread = (206, 152, 82) if look.ground[2] > look.ground[0] + 12 else look.thread()
    _fly_and_pockets(sketch, look, thread)
    return sketch


def _faded(sketch: Sketch, look: Look) -> None:
    """Washed-out thighs."""
    pale = Stuff(plain(mix(look.ground, (255, 255, 255), 0.45)), relief=0.0, grain="twill", clear=0.6, feather=0.035)
    for side in (1, -1):
        sketch.part(oval(side * 0.125, 0.48, 0.05, 0.22), pale, drop=0)
        sketch.part(oval(side * 0.13, 0.85, 0.035, 0.12), pale, drop=0)


def shorts(look: Look, rng: np.random.Generator) -> Sketch:
    """Above the knee, with a button or a drawstring."""
    sketch = Sketch(turn=6)
    stuff = woven(look.cloth(spread(rng, 0.07, 0.11)))
    _trousers(sketch, look, stuff, spread(rng, 0.54, 0.62), rng)
    if look.trait("Closure") == "Button":
        _fly_and_pockets(sketch, look, look.thread())
        return sketch
    sketch.seam([(0.0, 0.06), (0.0, 0.41)], 0.006, 0.4)
    for x in np.linspace(-0.17, 0.17, 17):
        sketch.seam([(float(x), 0.015), (float(x), 0.065)], 0.006, 0.22)
    with sketch.naming("drawstring", "Closure"):
        for side in (1, -1):
            pocket: Path = [(side * 0.14, 0.075), (side * 0.2, 0.2)]
            sketch.seam(pocket, 0.007, 0.4)
            cord: Path = [(side * 0.012, 0.055), (side * 0.045, 0.11, 1), (side * 0.03, 0.19)]
            sketch.part(band(cord, 0.012), Stuff(plain((238, 236, 230)), puff=0.006), drop=0.35)
    return sketch


def socks(look: Look, rng: np.random.Generator) -> Sketch:
    """A pair, ankle to knee high."""
    sketch = Sketch(turn=8)
    top = {"Ankle": 0.3, "Crew": 0.0, "Knee High": -0.42}[look.trait("Height")]
    stuff = Stuff(
        look.cloth(spread(rng, 0.06, 0.1), block=top + 0.2), puff=0.05, relief=0.4, wrinkle=0.12, grain="knit"
    )
    tip = plain(look.figure if look.pattern == "Colour Block" or rng.random() < 0.35 else look.trim(0.2))
    heel, rib = Stuff(tip, puff=0.04, relief=0.3, grain="knit"), Stuff(tip, puff=0.02, relief=0.3, grain="rib")
    gap = spread(rng, 0.24, 0.3)
    for dx, dy in ((0.0, 0.0), (gap, spread(rng, 0.04, 0.09))):
        _sock(sketch, stuff, heel, rib, top, dx, dy)
    return sketch


def _sock(sketch: Sketch, stuff: Stuff, heel: Stuff, rib: Stuff, top: float, dx: float, dy: float) -> None:
    def at(path: Path) -> list[Knot]:
        return moved(path, dx, dy)

    body: Path = [
        *((-0.1, top), (0.1, top), (0.095, 0.42), (0.12, 0.52, 1), (0.28, 0.58), (0.4, 0.61, 1)),
        *((0.4, 0.74, 1), (0.28, 0.735), (-0.02, 0.7), (-0.13, 0.68, 1), (-0.125, 0.55, 1), (-0.1, 0.42)),
    ]
    folds = (
        fold((0.09 + dx, 0.45 + dy), (-0.02 + dx, 0.5 + dy), 0.03, -0.25),
        fold((0.1 + dx, 0.49 + dy), (0.0 + dx, 0.56 + dy), 0.03, -0.2),
        fold((0.15 + dx, 0.68 + dy), (0.27 + dx, 0.7 + dy), 0.03, -0.15),
    )
    sketch.part(at(body), stuff, folds=folds, drop=0.5)
    with sketch.naming("heel"):
        sketch.part(
            at([(-0.105, 0.5), (-0.02, 0.58, 1), (-0.03, 0.695), (-0.125, 0.685, 1), (-0.13, 0.57, 1)]), heel, drop=0.05
        )
    with sketch.naming("toe"):
        sketch.part(
            at([(0.27, 0.577), (0.39, 0.605, 1), (0.395, 0.735, 1), (0.27, 0.735), (0.3, 0.65, 1)]), heel, drop=0.05
        )
    with sketch.naming("cuff", "Height"):
        sketch.part(at(box(-0.103, top - 0.01, 0.103, top + 0.09, 0.02)), rib, drop=0.1)
