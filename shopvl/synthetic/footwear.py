"""Sketches of shoes seen from the side, toe to the right; y = 0 is the ground."""

from dataclasses import replace

import numpy as np

from shopvl.synthetic.fabric import Cloth, Rgb, Stuff, luminance, mix, plain, shade
from shopvl.synthetic.looks import METAL, RUBBER, Look, leather, metal, rubber, spread
from shopvl.synthetic.outline import Knot, Path, band, box, oval
from shopvl.synthetic.paint import DrawnLine, DrawnText, Fold, Part, Sketch, fold, thinner


def _pair(sketch: Sketch, rng: np.random.Generator) -> None:
    """Now and then the second shoe of the pair, half hidden behind the first."""
    if rng.random() < 0.45:
        step = np.array([spread(rng, 0.1, 0.16), -spread(rng, 0.07, 0.11)])
        sketch.marks[:0] = [_shifted(mark, step, len(sketch.names)) for mark in sketch.marks]
        sketch.names += sketch.names  # the second shoe's come after the first's


def _shifted(mark: Part | DrawnLine | DrawnText, step: np.ndarray, names: int) -> Part | DrawnLine | DrawnText:
    match mark:
        case DrawnLine():
            return replace(mark, points=mark.points + step)
        case Part():
            folds = tuple(Fold(f.outline + step, f.height) for f in mark.folds)
            holes = tuple(hole + step for hole in mark.holes)
            own = None if mark.of is None else mark.of + names
            return replace(mark, outline=mark.outline + step, holes=holes, folds=folds, light=mark.light * 0.88, of=own)
        case _:
            return mark


def _shoe() -> Sketch:
    return Sketch(standing=True, turn=2.5)


def sneaker(look: Look, rng: np.random.Generator) -> Sketch:
    """A padded upper on a rubber sole; laces, straps or slip-on."""
    sketch = _shoe()
    upper = Stuff(
        look.cloth(spread(rng, 0.07, 0.1), block=-0.34),
        puff=0.055,
        relief=0.45,
        wrinkle=0.05,
        gloss=0.12,
        grain="weave",
    )
    trim = plain(look.figure if rng.random() < 0.5 else look.trim(0.25))
    lining = Stuff(plain(mix(look.trim(0.3), (60, 60, 66), 0.4)), relief=0.2)
    sketch.part(
        [(0.03, -0.44), (0.16, -0.5, 1), (0.31, -0.43), (0.25, -0.34), (0.07, -0.36)], lining, light=0.7, drop=0
    )
    tongue: Path = [(0.22, -0.4), (0.27, -0.535), (0.36, -0.545, 1), (0.4, -0.48), (0.46, -0.36), (0.3, -0.3)]
    closure = look.trait("Closure")
    if closure != "Slip-on":
        with sketch.naming("tongue"):
            sketch.part(tongue, thinner(upper, 0.025), drop=0.2)
    _sneaker_upper(sketch, upper, trim, rng)
    sketch.stitch([(0.15, -0.1), (0.145, -0.2), (0.08, -0.3, 1), (0.085, -0.43)], look.thread(), 0.005, 0.013)
    if closure == "Lace-up":
        _laces(sketch, look)
    elif closure == "Velcro":
        _straps(sketch, thinner(upper), look)
    else:
        goring: Path = [(0.3, -0.43), (0.4, -0.385), (0.36, -0.22), (0.26, -0.26)]
        with sketch.naming("elastic", "Closure"):
            sketch.part(goring, Stuff(plain(look.trim(0.35)), puff=0.01, grain="rib"), drop=0.2)
    _sneaker_sole(sketch, rng, look)
    _pair(sketch, rng)
    return sketch


def _sneaker_upper(sketch: Sketch, upper: Stuff, trim: Cloth, rng: np.random.Generator) -> None:
    """Sides, toe cap, heel and stripes."""
    body: Path = [
        *((0.02, -0.09), (0.0, -0.2, 1), (0.0, -0.34, 1), (0.0, -0.47), (0.05, -0.485, 1), (0.08, -0.45)),
        (0.16, -0.37, 1),
        *((0.27, -0.4), (0.32, -0.44), (0.46, -0.35), (0.62, -0.245), (0.76, -0.2, 1), (0.95, -0.19, 1), (0.98, -0.08)),
    ]
    folds = (
        fold((0.6, -0.25), (0.66, -0.12), 0.025, -0.2, 0.1),
        fold((0.67, -0.23), (0.72, -0.12), 0.02, -0.15, 0.1),
        fold((0.1, -0.4), (0.22, -0.3), 0.03, 0.15),
    )
    sketch.part(body, upper, folds=folds, drop=0.25)
    flat = Stuff(trim, puff=0.02, relief=0.35, gloss=0.15)
    with sketch.naming("toe cap"):
        sketch.part(
            [(0.77, -0.225), (0.95, -0.2, 1), (0.985, -0.08), (0.74, -0.08), (0.74, -0.16, 1)], thinner(upper), drop=0.2
        )
    heel: Path = [
        *((0.0, -0.45), (0.07, -0.44), (0.05, -0.3, 1), (0.13, -0.2)),
        *((0.14, -0.08), (0.01, -0.08), (-0.005, -0.25, 1)),
    ]
    sketch.part(heel, flat, drop=0.2)
    _side_stripes(sketch, flat, rng)


def _side_stripes(sketch: Sketch, stuff: Stuff, rng: np.random.Generator) -> None:
    """A maker's mark of slanted bars or a curve; every brand has one."""
    with sketch.naming("stripes"):
        if rng.random() < 0.6:
            for x in (0.3, 0.37, 0.44)[: int(rng.integers(2, 4))]:
                sketch.part(
                    [(x, -0.09), (x + 0.045, -0.09), (x + 0.1, -0.29), (x + 0.06, -0.31)],
                    thinner(stuff, 0.008),
                    drop=0.12,
                )
        else:
            sketch.part(
                [(0.16, -0.3), (0.3, -0.12, 1), (0.6, -0.22), (0.32, -0.06, 1), (0.16, -0.19, 1)],
                thinner(stuff, 0.008),
                drop=0.12,
            )


def _laces(sketch: Sketch, look: Look) -> None:
    cord = Stuff(plain((244, 243, 238) if luminance(look.ground) < 200 else (220, 220, 222)), puff=0.009, relief=0.4)
    with sketch.naming("laces", "Closure"):
        for i in range(5):
            x, y = 0.315 + 0.054 * i, -0.435 + 0.034 * i
            sketch.part(
                band([(x - 0.02, y + 0.055), (x + 0.03, y + 0.01, 1), (x + 0.065, y - 0.045)], 0.02), cord, drop=0.4
            )
            sketch.part(oval(x - 0.02, y + 0.058, 0.009, 0.009), metal(), drop=0.2)
        sketch.part(band([(0.33, -0.5), (0.24, -0.53, 1), (0.23, -0.44)], 0.016), cord, drop=0.35)
        sketch.part(band([(0.34, -0.5), (0.42, -0.58, 1), (0.43, -0.46)], 0.016), cord, drop=0.35)


def _straps(sketch: Sketch, stuff: Stuff, look: Look) -> None:
    strap = replace(stuff, cloth=plain(look.trim(0.25)), puff=0.018)
    for x, y in ((0.27, -0.4), (0.39, -0.34)):
        path: Path = [(x + 0.05, y - 0.075), (x + 0.12, y - 0.04), (x + 0.07, y + 0.12), (x - 0.01, y + 0.1)]
        with sketch.naming("strap", "Closure"):
            sketch.part(path, strap, drop=0.35)
        sketch.stitch([path[3], path[2]], look.thread(), 0.005, 0.012)


def _sneaker_sole(sketch: Sketch, rng: np.random.Generator, look: Look) -> None:
    white = rng.random() < 0.75 or luminance(look.ground) > 225
    sole = rubber(RUBBER if white else shade(look.trim(), 0.7), 0.025)
    base: Path = [
        *(
            (0.0, -0.13),
            (0.2, -0.1, 1),
            (0.45, -0.1),
            (0.75, -0.11, 1),
            (0.98, -0.115),
            (1.02, -0.07, 1),
            (0.97, -0.01, 1),
        ),
        *((0.88, 0.0), (0.05, 0.0), (-0.03, -0.02, 1), (-0.015, -0.12, 1)),
    ]
    with sketch.naming("sole"):
        sketch.part(base, sole, drop=0.3)
        sketch.seam([(-0.01, -0.035), (0.4, -0.03, 1), (0.98, -0.04)], 0.008, 0.35)
        if rng.random() < 0.6:
            stripe = plain(look.ground if white else look.figure)
            sketch.part(
                band([(0.0, -0.09), (0.45, -0.065, 1), (0.99, -0.08)], 0.014), Stuff(stripe, puff=0.005), drop=0
            )
    for x in np.linspace(0.06, 0.9, 15):
        sketch.seam([(float(x), -0.028), (float(x) + 0.01, -0.002)], 0.007, 0.3)


def heel_pump(look: Look, rng: np.random.Generator) -> Sketch:
    """A pump on a stiletto or a lower block heel."""
    sketch = _shoe()
    high = look.trait("Heel") == "High"
    lift = spread(rng, 0.44, 0.52) if high else spread(rng, 0.24, 0.29)
    upper = replace(leather(look.cloth(0.07), 0.045), gloss=0.6, relief=0.45)
    sole = Stuff(plain(shade(look.trim(0.3), 0.6) if rng.random() < 0.7 else (176, 30, 40)), puff=0.012, gloss=0.2)
    inner = Stuff(plain((206, 180, 150)), puff=0.02, relief=0.3)
    _pump_heel(sketch, upper, lift, high)
    inside: Path = [
        (0.04, -lift - 0.17),
        (0.2, -lift - 0.06, 1),
        (0.45, -lift * 0.52 - 0.06, 1),
        (0.66, -0.16),
        (0.5, -0.12),
        (0.06, -lift - 0.02),
    ]
    sketch.part(inside, inner, light=0.8, drop=0)
    body: Path = [
        *((0.02, -lift), (0.0, -lift - 0.1, 1), (0.03, -lift - 0.19), (0.08, -lift - 0.1, 1), (0.22, -lift + 0.035, 1)),
        *(
            (0.42, -lift * 0.42 - 0.02, 1),
            (0.62, -0.13, 1),
            (0.66, -0.17),
            (0.78, -0.14, 1),
            (0.93, -0.05, 1),
            (1.0, -0.025),
        ),
        *((0.96, -0.008), (0.62, -0.012), (0.45, -lift * 0.16, 1), (0.24, -lift * 0.86, 1)),
    ]
    sketch.part(body, upper, folds=(fold((0.1, -lift - 0.05), (0.35, -lift * 0.55), 0.03, 0.12),), drop=0.3)
    under: Path = [
        (0.02, -lift + 0.01),
        (0.24, -lift * 0.85, 1),
        (0.46, -lift * 0.13, 1),
        (0.62, -0.012),
        (0.97, -0.008),
    ]
    sketch.part(band(under, 0.022), sole, drop=0)
    if rng.random() < 0.35:
        ankle: Path = [(0.03, -lift - 0.18), (0.12, -lift - 0.28, 1), (0.25, -lift - 0.19, 1), (0.18, -lift - 0.05)]
        with sketch.naming("ankle strap"):
            sketch.part(band(ankle, 0.024), thinner(upper), drop=0.3)
            sketch.part(box(0.185, -lift - 0.19, 0.215, -lift - 0.15, 0.006), metal(), drop=0.3)
    elif rng.random() < 0.4:
        with sketch.naming("bow"):
            for side in (-1, 1):
                bow: Path = [(0.7, -0.16), (0.7 + side * 0.06, -0.22), (0.7 + side * 0.065, -0.12)]
                sketch.part(bow, thinner(upper), drop=0.3)
    _pair(sketch, rng)
    return sketch


def _pump_heel(sketch: Sketch, upper: Stuff, lift: float, high: bool) -> None:
    stuff = replace(upper, cloth=plain(upper.cloth.colours[0]), puff=0.018)
    if high:
        heel: Path = [
            (0.015, -lift - 0.03),
            (0.02, -lift * 0.6, 1),
            (0.085, -0.02),
            (0.085, 0.0),
            (0.125, 0.0),
            (0.125, -0.02),
            (0.12, -lift * 0.62, 1),
            (0.25, -lift + 0.04),
        ]
    else:
        heel = [
            (0.01, -lift - 0.03),
            (0.02, -lift * 0.5, 1),
            (0.035, 0.0),
            (0.175, 0.0),
            (0.17, -lift * 0.5, 1),
            (0.26, -lift + 0.02),
        ]
    with sketch.naming("heel", "Heel"):
        sketch.part(heel, stuff, drop=0, light=0.92)
        tip = box(0.083, -0.014, 0.127, 0.0) if high else box(0.033, -0.018, 0.177, 0.0)
        sketch.part(tip, rubber((60, 56, 54), 0.006), drop=0)


def boot(look: Look, rng: np.random.Generator) -> Sketch:
    """Ankle or knee high; flat, block or high heel; laces, zip or elastic."""
    sketch = _shoe()
    top = -1.12 if look.trait("Height") == "Knee High" else -0.66
    lift = {"Flat": 0.07, "Mid": 0.16, "High": 0.3}[look.trait("Heel")]
    upper = replace(leather(look.plain, 0.06), relief=0.48, wrinkle=0.09)
    mouth: Path = [
        (0.0, top - lift),
        (0.17, top - lift - 0.05, 1),
        (0.34, top - lift + 0.01),
        (0.17, top - lift + 0.06, 1),
    ]
    sketch.part(mouth, Stuff(plain(shade(look.trim(0.3), 0.6)), relief=0.2), light=0.7, drop=0)
    _boot_sole(sketch, look, lift)
    body: Path = [
        *((-0.005, top - lift), (0.17, top - lift + 0.035, 1), (0.345, top - lift + 0.01), (0.33, -0.5 - lift, 1)),
        *((0.37, -0.37 - lift * 0.8), (0.5, -0.27 - lift * 0.4, 1), (0.66, -0.24, 1), (0.9, -0.22, 1), (0.9, -0.045)),
        *(
            (0.62, -0.04),
            (0.5, -0.03 - lift * 0.3, 1),
            (0.25, -lift, 1),
            (-0.005, -lift - 0.02),
            (-0.01, -0.2 - lift, 1),
            (0.04, -0.34 - lift, 1),
            (0.015, -0.5 - lift, 1),
        ),
    ]
    sketch.part(body, upper, folds=_boot_folds(rng, lift, top), drop=0.2)
    closure = look.trait("Closure")
    if closure == "Lace-up":
        _boot_laces(sketch, look, lift, top)
    elif closure == "Zip":
        with sketch.naming("zip", "Closure"):
            sketch.part(
                band([(0.12, top - lift + 0.05), (0.14, -0.4 - lift, 1), (0.13, -0.1 - lift)], 0.026),
                Stuff(plain(look.trim(0.4)), puff=0.008),
            )
            sketch.stitch(
                [(0.12, top - lift + 0.06), (0.14, -0.4 - lift, 1), (0.13, -0.11 - lift)], METAL, 0.012, 0.008, 0.95
            )
            sketch.part(box(0.112, top - lift + 0.05, 0.13, top - lift + 0.12, 0.006), metal(), drop=0.3)
    else:
        panel: Path = [
            (0.11, top - lift + 0.03),
            (0.25, top - lift + 0.035),
            (0.22, -0.32 - lift),
            (0.16, -0.28 - lift, 1),
            (0.13, -0.33 - lift),
        ]
        with sketch.naming("elastic", "Closure"):
            sketch.part(panel, Stuff(plain(look.trim(0.35)), puff=0.012, grain="rib"), drop=0.2)
        sketch.part(box(-0.01, top - lift - 0.045, 0.035, top - lift + 0.08, 0.012), thinner(upper), drop=0.2)
    sketch.stitch([(0.62, -0.235), (0.66, -0.14, 1), (0.62, -0.06)], look.thread(), 0.006, 0.014)
    _pair(sketch, rng)
    return sketch


def _boot_folds(rng: np.random.Generator, lift: float, top: float) -> tuple[Fold, ...]:
    rows = [((0.03, -0.38), (0.2, -0.33)), ((0.06, -0.44), (0.25, -0.42)), ((0.32, -0.43), (0.2, -0.38))]
    if top < -0.9:
        rows += [((0.03, -0.58), (0.2, -0.53)), ((0.31, -0.66), (0.15, -0.6))]
    folds = [
        fold((x0, y0 - lift), (x1, y1 - lift + spread(rng, -0.03, 0.03)), 0.03, -0.22, 0.15)
        for (x0, y0), (x1, y1) in rows
    ]
    folds += [fold((0.6, -0.23), (0.64, -0.1), 0.02, -0.2), fold((0.66, -0.22), (0.69, -0.11), 0.02, -0.15)]
    return tuple(folds)


def _boot_sole(sketch: Sketch, look: Look, lift: float) -> None:
    dark = rubber(shade(look.trim(0.2), 0.45) if luminance(look.ground) > 60 else (74, 66, 60), 0.014)
    if lift < 0.1:
        with sketch.naming("sole"):
            sketch.part(
                [
                    (-0.02, -0.1),
                    (0.5, -0.09),
                    (0.92, -0.1),
                    (0.95, -0.05, 1),
                    (0.9, 0.0),
                    (0.0, 0.0),
                    (-0.03, -0.05, 1),
                ],
                dark,
                drop=0,
            )
        for x in np.linspace(0.05, 0.85, 12):
            sketch.seam([(float(x), -0.03), (float(x), 0.0)], 0.012, 0.5)
        return
    narrow = 0.17 if lift > 0.2 else 0.22
    with sketch.naming("heel", "Heel"):
        sketch.part(
            [
                (-0.01, -lift - 0.05),
                (0.005, -lift * 0.5, 1),
                (0.03, 0.0),
                (narrow, 0.0),
                (narrow + 0.02, -lift * 0.6, 1),
                (0.3, -lift - 0.03),
            ],
            dark,
            drop=0,
        )
    shank: Path = [
        (-0.005, -lift - 0.015),
        (0.25, -lift, 1),
        (0.5, -0.03 - lift * 0.3, 1),
        (0.62, -0.028),
        (0.9, -0.03),
    ]
    with sketch.naming("sole"):
        sketch.part(band(shank, 0.055), dark, drop=0)


def _boot_laces(sketch: Sketch, look: Look, lift: float, top: float) -> None:
    cord = Stuff(plain(mix(look.trim(0.3), (210, 180, 120), 0.45)), puff=0.008, relief=0.4)
    rows = np.linspace(top + 0.08, -0.36, 9 if top < -0.9 else 5)
    with sketch.naming("laces", "Closure"):
        for y in rows:
            x = 0.33 + max(0.0, float(y) + 0.5) * 0.35
            sketch.part(band([(x - 0.075, y - lift + 0.03), (x + 0.005, y - lift - 0.012)], 0.018), cord, drop=0.4)
            sketch.part(oval(x - 0.078, float(y) - lift + 0.033, 0.011, 0.011), metal(), drop=0.3)
    sketch.seam([(0.22, top - lift + 0.03), (0.24, -0.5 - lift, 1), (0.36, -0.3 - lift * 0.7)], 0.006, 0.3)


def sandal(look: Look, rng: np.random.Generator) -> Sketch:
    """A footbed with two broad straps and a heel strap; flat or on a wedge."""
    sketch = _shoe()
    lift = 0.09 if look.trait("Heel") == "Flat" else spread(rng, 0.25, 0.32)
    cork: Rgb = (186, 146, 104) if rng.random() < 0.5 else look.trim(0.22)
    strap = replace(leather(look.cloth(0.06), 0.03), relief=0.32)
    _footbed(sketch, cork, lift)
    for start, width, rise in ((0.36, 0.2, 0.17), (0.64, 0.25, 0.12)):
        _strap_over(sketch, strap, start, start + width, lift, rise + spread(rng, -0.01, 0.02))
    _heel_strap(sketch, strap, lift)
    _pair(sketch, rng)
    return sketch


def _bed_height(x: float, lift: float) -> float:
    """How high the footbed lies above the ground at `x` along the shoe: the heel is up, the toes nearly down."""
    slope = min(max((0.62 - x) / 0.42, 0.0), 1.0)
    return 0.085 + (lift - 0.085) * slope * slope * (3 - 2 * slope) if lift > 0.1 else lift


def _footbed(sketch: Sketch, cork: Rgb, lift: float) -> None:
    xs = [0.02, *np.linspace(0.1, 0.9, 9).tolist()]
    top: list[Knot] = [(x, -_bed_height(x, lift)) for x in xs]
    wedge: Path = [
        *top,
        (1.0, -0.09, 1),
        (1.0, -0.01, 1),
        (0.92, 0.0),
        (0.05, 0.0),
        (-0.03, -0.02, 1),
        (0.0, -lift + 0.01, 1),
    ]
    with sketch.naming("sole"):
        sketch.part(wedge, Stuff(plain(cork), puff=0.025, relief=0.3, grain="leather"), drop=0.1)
        lining = Stuff(plain(shade(cork, 1.16)), puff=0.01, relief=0.3)
        sketch.part(band([*top, (0.97, -0.082)], 0.024), lining, drop=0)
        sketch.part(band([(0.01, -0.014), (0.96, -0.014)], 0.028), rubber(shade(cork, 0.5), 0.008), drop=0)


def _strap_over(sketch: Sketch, stuff: Stuff, start: float, end: float, lift: float, rise: float) -> None:
    """A strap arching across the foot, seen a little from behind: its dark inside shows at the heel's side."""
    low_a, low_b = -_bed_height(start, lift) + 0.03, -_bed_height(end, lift) + 0.03
    # on a steep footbed the strap leans less than the bed does
    slant = (low_b - low_a) * 0.45
    high_a, high_b = low_a - rise - 0.05 + slant, low_b - rise + 0.01
    middle = (low_a + high_a) / 2
    inside = [
        *oval(start + 0.025, middle, 0.035, (low_a - high_a) / 2, 90, 270),
        (start + 0.06, high_a),
        (start + 0.06, low_a),
    ]
    with sketch.naming("strap"):
        sketch.part(inside, thinner(stuff), light=0.5, drop=0)
        near: Path = [
            *(
                (start + 0.02, low_a),
                (start + 0.075, middle, 1),
                (start + 0.025, high_a),
                (start + 0.06, high_a - 0.03, 1),
            ),
            *(
                (end - 0.05, high_b - 0.03, 1),
                (end - 0.005, high_b + 0.03),
                (end + 0.025, (low_b + high_b) / 2, 1),
                (end, low_b),
            ),
        ]
        sketch.part(near, stuff, drop=0.35)
    thread = shade(stuff.cloth.colours[0], 0.6)
    sketch.stitch(
        [(start + 0.04, low_a - 0.02), (start + 0.092, middle, 1), (start + 0.045, high_a)], thread, 0.005, 0.013, 0.6
    )
    sketch.stitch(
        [(end - 0.016, low_b - 0.02), (end + 0.007, (low_b + high_b) / 2, 1), (end - 0.018, high_b + 0.03)],
        thread,
        0.005,
        0.013,
        0.6,
    )


def _heel_strap(sketch: Sketch, stuff: Stuff, lift: float) -> None:
    """A quarter around the heel and a buckled ring around the ankle."""
    low = -_bed_height(0.05, lift)
    ring = low - 0.22
    with sketch.naming("ankle strap"):
        sketch.part(band(oval(0.175, ring, 0.14, 0.045, 180, 360), 0.04), stuff, light=0.55, drop=0)
        quarter: Path = [
            *(
                (0.01, low + 0.02),
                (-0.005, low - 0.14, 1),
                (0.03, ring - 0.02),
                (0.1, ring + 0.03),
                (0.085, low - 0.1, 1),
            ),
            *((0.2, low - 0.01, 1), (0.26, -_bed_height(0.26, lift) + 0.02), (0.1, low + 0.03)),
        ]
        sketch.part(quarter, stuff, drop=0.25)
        sketch.part(band(oval(0.175, ring, 0.14, 0.05, 180, 0), 0.044), stuff, drop=0.3)
    x, y = 0.2, ring + 0.053
    with sketch.naming("buckle"):
        sketch.part(
            box(x - 0.033, y - 0.033, x + 0.033, y + 0.033, 0.012),
            metal(),
            holes=(box(x - 0.019, y - 0.019, x + 0.019, y + 0.019),),
            drop=0.35,
        )
