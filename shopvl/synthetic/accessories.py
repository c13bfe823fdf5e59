"""Sketches of headwear, watches, jewellery and other things worn or carried."""

from dataclasses import replace

import numpy as np

from shopvl.synthetic.fabric import Cloth, Stuff, luminance, mix, plain, shade
from shopvl.synthetic.looks import BRASS, INK, METAL, Look, leather, metal, patch, rubber, spread
from shopvl.synthetic.outline import Knot, Path, band, box, flipped, mirrored, moved, oval
from shopvl.synthetic.paint import Sketch, fold, thinner


def cap(look: Look, rng: np.random.Generator) -> Sketch:
    """A baseball cap, peak to the right."""
    sketch = Sketch(turn=6)
    # blocked caps have another front panel instead of a line across
    blocked = look.pattern == "Colour Block"
    cloth = look.plain if blocked else look.cloth(spread(rng, 0.06, 0.09))
    stuff = Stuff(cloth, puff=0.09, relief=0.45, wrinkle=0.06, grain="twill")
    under = Stuff(plain(look.trim(0.35)), puff=0.02, relief=0.3)
    sketch.part(
        [(0.15, 0.4), (0.4, 0.36, 1), (0.8, 0.44, 1), (0.83, 0.53), (0.5, 0.46, 1), (0.18, 0.52)],
        under,
        light=0.75,
        drop=0,
    )
    _crown(sketch, stuff, look, blocked)
    _brim(sketch, stuff, look)
    with sketch.naming("button"):
        sketch.part(oval(-0.0, -0.088, 0.035, 0.02), thinner(stuff), drop=0.3)
    for x, y in ((-0.2, 0.08), (0.2, 0.05)):
        sketch.part(oval(x, y, 0.012, 0.012), Stuff(plain(shade(look.trim(), 0.5)), puff=0.004), drop=0.1)
    if look.printed:
        with sketch.naming("logo"):
            sketch.words(look.printed, (0.21, 0.22), 0.1, 0.28, look.ground if blocked else look.figure)
    return sketch


def _crown(sketch: Sketch, stuff: Stuff, look: Look, blocked: bool) -> None:
    dome: Path = [
        *((-0.46, 0.46), (-0.48, 0.02, 1), (-0.15, -0.12, 1), (0.18, -0.1, 1)),
        *((0.38, 0.1, 1), (0.4, 0.4), (0.2, 0.47, 1), (-0.15, 0.53, 1)),
    ]
    sketch.part(dome, stuff, drop=0)
    front: Path = [
        *((0.0, -0.085), (0.22, -0.09, 1), (0.38, 0.12, 1)),
        *((0.4, 0.4), (0.25, 0.455, 1), (0.02, 0.49), (0.1, 0.2, 1)),
    ]
    sketch.part(front, replace(stuff, cloth=plain(look.figure)) if blocked else stuff, drop=0.12)
    middle: Path = [(0.0, -0.085), (0.1, 0.2, 1), (0.02, 0.49)]
    side: Path = [(0.0, -0.085), (-0.34, 0.0, 1), (-0.36, 0.49)]
    for seam in (middle, side):
        sketch.seam(seam, 0.007, 0.4)
        sketch.stitch(moved(seam, 0.016), look.thread(), 0.005, 0.012, 0.5)


def _brim(sketch: Sketch, stuff: Stuff, look: Look) -> None:
    peak: Path = [
        *((0.02, 0.46), (0.2, 0.36, 1), (0.4, 0.36), (0.66, 0.36, 1), (0.86, 0.46, 1)),
        *((0.85, 0.54), (0.6, 0.44, 1), (0.3, 0.47, 1), (0.1, 0.53)),
    ]
    with sketch.naming("brim"):
        sketch.part(peak, replace(stuff, puff=0.035, relief=0.4), drop=0.35)
    edge: Path = [(0.16, 0.43), (0.3, 0.37, 1), (0.42, 0.37), (0.66, 0.38, 1), (0.8, 0.46)]
    for shift in (0.022, 0.044):
        sketch.stitch(moved(edge, 0, shift - 0.005), look.thread(), 0.005, 0.012, 0.4)


def beanie(look: Look, rng: np.random.Generator) -> Sketch:
    """A knitted hat with a turned-up cuff, with or without a pom-pom."""
    sketch = Sketch(turn=6)
    stuff = Stuff(look.cloth(spread(rng, 0.08, 0.12), block=0.1), puff=0.08, relief=0.42, wrinkle=0.12, grain="knit")
    folds = tuple(fold((x * 0.25, -0.05), (x, 0.45), 0.05, -0.14) for x in (-0.28, -0.1, 0.1, 0.28))
    sketch.part(
        mirrored([(0.0, -0.1), (0.3, -0.12, 1), (0.38, 0.2, 1), (0.39, 0.5), (0.0, 0.54)]), stuff, folds=folds, drop=0
    )
    cuff = Stuff(look.plain if rng.random() < 0.6 else plain(look.trim(0.15)), puff=0.045, relief=0.45, grain="rib")
    with sketch.naming("cuff"):
        sketch.part(
            mirrored(
                [
                    (0.0, 0.34),
                    (0.25, 0.33, 1),
                    (0.405, 0.3),
                    (0.43, 0.44, 1),
                    (0.405, 0.54),
                    (0.25, 0.58, 1),
                    (0.0, 0.59),
                ]
            ),
            cuff,
            drop=0.35,
        )
    if look.trait("Pom-pom") == "With Pom-pom":
        _pompom(sketch, plain(look.figure if rng.random() < 0.4 else look.trim(0.06)), rng)
    with sketch.naming("patch"):
        sketch.part(box(0.1, 0.42, 0.2, 0.49, 0.008), patch(), drop=0.25)
    return sketch


def _pompom(sketch: Sketch, cloth: Cloth, rng: np.random.Generator) -> None:
    turns = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    reach = 0.14 * rng.uniform(0.86, 1.08, 48)
    fluff: Path = [(float(r * np.cos(t)), float(-0.2 + r * np.sin(t))) for t, r in zip(turns, reach, strict=True)]
    with sketch.naming("pom-pom", "Pom-pom"):
        sketch.part(fluff, Stuff(cloth, puff=0.05, relief=0.45, wrinkle=0.2, grain="twill"), drop=0.25)


def sunglasses(look: Look, rng: np.random.Generator) -> Sketch:
    """Seen from the front, temples folded back."""
    sketch = Sketch(turn=5)
    frame = Stuff(look.plain, puff=0.02, relief=0.5, gloss=0.7)
    lens_rgb = mix(shade(look.ground, 0.75), (40, 40, 48), spread(rng, 0.0, 0.35))
    for side in (1, -1):
        temple: Path = [
            (side * 0.48, -0.1),
            (side * 0.53, -0.12, 1),
            (side * 0.5, -0.18),
            (side * 0.36, -0.17),
            (side * 0.36, -0.13),
        ]
        with sketch.naming("temple"):
            sketch.part(temple, frame, light=0.75, drop=0)
    thick = 0.058 if look.trait("Frame") != "Aviator" else 0.042
    with sketch.naming("frame", "Frame"):
        for side in (1, -1):
            rim = _rim(look.trait("Frame"))
            rim = rim if side > 0 else flipped(rim)
            centre = (side * 0.255, 0.0)
            inner = _shrunk(rim, centre, 1 - thick * 4.4)
            sketch.part(rim, frame, holes=(inner,), drop=0.2)
            with sketch.naming("lens"):
                sketch.part(
                    _shrunk(rim, centre, 1 - thick * 3.8), Stuff(plain(lens_rgb), puff=0.01, relief=0.15), drop=0
                )
                glare: Path = [
                    (centre[0] - 0.1, -0.09),
                    (centre[0] - 0.02, -0.11),
                    (centre[0] - 0.1, 0.09),
                    (centre[0] - 0.14, 0.06),
                ]
                sketch.part(_shrunk(glare, centre, 0.8), Stuff(plain((236, 240, 246)), relief=0, clear=0.72), drop=0)
            sketch.part(rim, frame, holes=(inner,), drop=0.2)
        sketch.part(band([(-0.085, -0.045), (0.0, -0.1, 1), (0.085, -0.045)], thick * 0.9), frame, drop=0.2)
        if look.trait("Frame") == "Aviator":
            sketch.part(band([(-0.12, -0.125), (0.0, -0.14, 1), (0.12, -0.125)], 0.026), frame, drop=0.2)
    return sketch


def _rim(shape: str) -> list[Knot]:
    """The right rim's outer edge."""
    match shape:
        case "Round":
            return oval(0.26, 0.0, 0.205, 0.195)
        case "Rectangle":
            return box(0.055, -0.14, 0.485, 0.13, 0.06)
        case "Aviator":
            return [
                (0.05, -0.12),
                (0.15, -0.16, 1),
                (0.42, -0.16, 1),
                (0.48, -0.1),
                (0.47, 0.1, 1),
                (0.3, 0.24, 1),
                (0.12, 0.17, 1),
                (0.04, -0.02, 1),
            ]
        case _:
            return [
                (0.05, -0.08),
                (0.2, -0.14, 1),
                (0.38, -0.16),
                (0.53, -0.22),
                (0.48, -0.02),
                (0.43, 0.16, 1),
                (0.2, 0.17, 1),
                (0.06, 0.1, 1),
            ]


def _shrunk(path: Path, centre: tuple[float, float], scale: float) -> list[Knot]:
    """The path scaled about a centre."""
    x, y = centre
    return [(x + (knot[0] - x) * scale, y + (knot[1] - y) * scale, *knot[2:]) for knot in path]


def watch(look: Look, rng: np.random.Generator) -> Sketch:
    """A strap, a case and a dial, seen from the front."""
    sketch = Sketch(turn=8, may_flip=False)
    kind = look.trait("Strap")
    case = metal(BRASS if rng.random() < 0.3 else METAL, 0.016)
    width = spread(rng, 0.115, 0.135)
    with sketch.naming("strap", "Strap"):
        for side in (1, -1):
            strap: Path = [
                (-width, side * 0.16),
                (width, side * 0.16),
                (width * 0.78, side * 0.5),
                (width * 0.72, side * 0.74),
                (0.0, side * 0.79, 1),
                (-width * 0.72, side * 0.74),
                (-width * 0.78, side * 0.5),
            ]
            if kind == "Metal":
                sketch.part(strap, replace(metal(look.ground, 0.03), gloss=0.5, relief=0.45), drop=0)
                _links(sketch, side, width)
            else:
                stuff = (
                    leather(look.cloth(0.05), 0.03)
                    if kind == "Leather"
                    else replace(rubber(look.ground, 0.035), relief=0.45)
                )
                sketch.part(strap, stuff, folds=(fold((-0.08, side * 0.5), (0.08, side * 0.5), 0.04, -0.12),), drop=0)
                _strap_details(sketch, look, kind, side, width)
    square = look.trait("Dial") == "Square"
    with sketch.naming("crown"):
        sketch.part(box(0.215, -0.035, 0.262, 0.035, 0.01), metal(METAL, 0.008), drop=0)
    outer, inner = (
        (box(-0.23, -0.24, 0.23, 0.24, 0.07), box(-0.185, -0.195, 0.185, 0.195, 0.05))
        if square
        else (oval(0, 0, 0.235, 0.235), oval(0, 0, 0.195, 0.195))
    )
    sketch.part(outer, case, drop=0.45)
    face = look.trim(0.1) if rng.random() < 0.55 else (244, 242, 236) if rng.random() < 0.6 else (32, 34, 40)
    with sketch.naming("dial", "Dial"):
        sketch.part(inner, Stuff(plain(face), puff=0.02, relief=-0.12), drop=0.25)
        _dial(sketch, face, square, rng)
    shine: Path = [(-0.15, -0.1), (-0.02, -0.18), (0.03, -0.15), (-0.13, 0.02)]
    sketch.part(shine, Stuff(plain((255, 255, 255)), relief=0, clear=0.82), drop=0)
    return sketch


def _links(sketch: Sketch, side: int, width: float) -> None:
    for i, y in enumerate(np.linspace(0.26, 0.74, 10)):
        half = width * (0.95 - 0.025 * i)
        sketch.seam([(-half, side * float(y)), (half, side * float(y))], 0.009, 0.5)
    for x in (-0.4, 0.4):
        sketch.seam([(x * width, side * 0.2), (x * width * 0.75, side * 0.76)], 0.007, 0.4)


def _strap_details(sketch: Sketch, look: Look, kind: str, side: int, width: float) -> None:
    """Grooves on rubber, stitches on leather; holes on one end and the buckle on the other."""
    if kind == "Rubber":
        for y in np.linspace(0.25, 0.44, 6):
            half = width * (1 - 0.75 * (float(y) - 0.16))
            sketch.seam([(-half * 0.8, side * float(y)), (half * 0.8, side * float(y))], 0.016, 0.6)
    else:
        for x in (-0.82, 0.82):
            sketch.stitch(
                [(x * width, side * 0.24), (x * width * 0.8, side * 0.5), (x * width * 0.72, side * 0.72)],
                look.thread(),
                0.006,
                0.018,
            )
    if side > 0:
        for y in (0.48, 0.55, 0.62, 0.69):
            sketch.part(oval(0, y, 0.013, 0.016), Stuff(plain(shade(look.trim(), 0.35)), puff=0.004), drop=0)
    else:
        with sketch.naming("buckle"):
            sketch.part(
                box(-0.115, -0.81, 0.115, -0.71, 0.02),
                metal(METAL, 0.01),
                holes=(box(-0.085, -0.785, 0.085, -0.735, 0.01),),
                drop=0.3,
            )


def _dial(sketch: Sketch, face: tuple[float, float, float], square: bool, rng: np.random.Generator) -> None:
    ink = INK if luminance(face) > 120 else (232, 232, 230)
    for hour in range(12):
        turn = hour * np.pi / 6
        reach = 0.165 if not square else 0.165 / max(abs(np.cos(turn)), abs(np.sin(turn)))
        long = 0.035 if hour % 3 == 0 else 0.02
        start, end = (
            (reach * np.cos(turn), reach * np.sin(turn)),
            ((reach - long) * np.cos(turn), (reach - long) * np.sin(turn)),
        )
        sketch.seam([start, end], 0.014 if hour % 3 == 0 else 0.009, 0.95, ink)
    minutes = rng.uniform(0, 2 * np.pi)
    for reach, wide, turn in ((0.085, 0.016, minutes / 12 - np.pi / 3), (0.135, 0.011, minutes)):
        sketch.seam([(0, 0), (reach * np.sin(turn), -reach * np.cos(turn))], wide, 0.95, ink)
    second = minutes * 3.7
    sketch.seam([(0, 0), (0.14 * np.sin(second), -0.14 * np.cos(second))], 0.005, 0.9, (206, 52, 44))
    sketch.part(oval(0, 0, 0.014, 0.014), metal(METAL, 0.005), drop=0.3)


def belt(look: Look, rng: np.random.Generator) -> Sketch:
    """Rolled up, buckle in front."""
    sketch = Sketch(standing=True, turn=3)
    stuff = leather(look.cloth(0.06), 0.03)
    lining = Stuff(plain(mix(look.trim(0.12), (150, 120, 90), 0.12)), puff=0.02, relief=0.2, grain="leather")
    width, deep, tall = 0.5, 0.17, spread(rng, 0.2, 0.26)
    for scale, light in ((1.0, 0.6), (0.9, 0.72)):
        back = [
            *oval(0, 0, width * scale, deep * scale, 180, 360),
            *oval(0, tall, width * scale, deep * scale * 0.6, 0, -180),
        ]
        sketch.part(back, lining if scale < 1 else stuff, light=light, drop=0.3)
    inner = [*oval(0, 0.01, width * 0.9, deep * 0.9, 180, 0), *oval(0, tall, width * 0.9, deep * 0.9, 0, 180)]
    sketch.part(inner, stuff, light=0.82, drop=0.35)
    front = [*oval(0, 0, width, deep, 180, 0), *oval(0, tall, width, deep, 0, 180)]
    folds = (fold((-0.44, 0.0), (-0.46, tall), 0.05, 0.1), fold((0.42, 0.0), (0.44, tall), 0.05, -0.12))
    sketch.part(front, replace(stuff, tube=0.8), folds=folds, drop=0.4)
    for y in (0.03, tall - 0.03):
        sketch.stitch(oval(0, y, width * 0.99, deep, 175, 5), look.thread(), 0.006, 0.018, 0.55)
    _belt_buckle(sketch, look, tall, deep, rng)
    return sketch


def _belt_buckle(sketch: Sketch, look: Look, tall: float, deep: float, rng: np.random.Generator) -> None:
    gold = metal(BRASS if rng.random() < 0.4 else METAL, 0.014)
    y0, y1 = deep - 0.035, deep + tall + 0.03
    with sketch.naming("buckle", "Buckle"):
        if look.trait("Buckle") == "Plate Buckle":
            sketch.part(box(-0.17, y0, 0.13, y1, 0.03), gold, drop=0.45)
            sketch.part(box(-0.14, y0 + 0.03, 0.1, y1 - 0.03, 0.02), replace(gold, relief=-0.25), drop=0)
            return
        sketch.part(
            box(-0.17, y0, 0.06, y1, 0.035), gold, holes=(box(-0.13, y0 + 0.035, 0.02, y1 - 0.035, 0.015),), drop=0.45
        )
        sketch.part(box(-0.16, (y0 + y1) / 2 - 0.013, 0.07, (y0 + y1) / 2 + 0.013, 0.01), gold, drop=0.35)
    loop: Path = [(0.15, deep - 0.035), (0.2, deep - 0.045), (0.2, deep + tall - 0.0), (0.15, deep + tall + 0.01)]
    sketch.part(loop, thinner(leather(look.plain)), drop=0.45)
    for x in (-0.26, -0.33):
        sketch.part(oval(x, deep * 0.86 + tall / 2, 0.012, 0.016), Stuff(plain((30, 26, 24)), puff=0.004), drop=0)


def scarf(look: Look, rng: np.random.Generator) -> Sketch:
    """Looped, two fringed ends hanging."""
    sketch = Sketch(turn=5)
    cloth = look.cloth(spread(rng, 0.07, 0.12))
    stuff = Stuff(cloth, puff=0.05, relief=0.5, wrinkle=0.14, grain="weave")
    back: Path = [(-0.25, 0.12), (-0.25, -0.14, 1), (0.25, -0.14, 1), (0.25, 0.12), (0.1, 0.2, 1), (-0.1, 0.2, 1)]
    sketch.part(back, stuff, light=0.66, drop=0)
    for side, end in ((-1, spread(rng, 0.82, 0.98)), (1, spread(rng, 0.95, 1.12))):
        _scarf_end(sketch, replace(stuff, cloth=replace(cloth, degrees=cloth.degrees + side * 3)), side, end, rng)
    ring: Path = [
        *(
            (-0.3, 0.05),
            (-0.29, -0.12, 1),
            (-0.2, -0.1),
            (-0.12, 0.12, 1),
            (0.12, 0.12, 1),
            (0.2, -0.1),
            (0.29, -0.12, 1),
            (0.3, 0.05),
        ),
        *((0.31, 0.22, 1), (0.14, 0.37, 1), (0.0, 0.37), (-0.14, 0.37, 1), (-0.31, 0.22, 1)),
    ]
    folds = tuple(
        fold(
            (-0.27, 0.0 + dy),
            (0.27, 0.02 + dy + spread(rng, -0.03, 0.03)),
            0.045,
            spread(rng, -0.35, -0.18),
            0.32 + spread(rng, -0.05, 0.05),
        )
        for dy in (-0.02, 0.06, 0.13)
    )
    sketch.part(ring, replace(stuff, cloth=replace(cloth, degrees=cloth.degrees + 20)), folds=folds, drop=0.5)
    return sketch


def _scarf_end(sketch: Sketch, stuff: Stuff, side: int, end: float, rng: np.random.Generator) -> None:
    swing = spread(rng, -0.02, 0.04)
    tail: Path = [
        (side * 0.01, 0.2),
        (side * 0.16, 0.22),
        (side * (0.2 + swing), 0.5, 1),
        (side * (0.23 + swing), end),
        (side * 0.03, end + 0.01),
        (side * 0.02, 0.6, 1),
    ]
    with sketch.naming("fringe"):
        for x in np.linspace(0.035, 0.225 + swing, 13):
            strand: Path = [
                (side * float(x), end - 0.02),
                (side * (float(x) + spread(rng, -0.012, 0.012)), end + spread(rng, 0.07, 0.1)),
            ]
            sketch.part(band(strand, 0.012), Stuff(plain(stuff.cloth.colours[0]), puff=0.005, relief=0.4), drop=0.1)
    folds = tuple(
        fold((side * x, 0.3), (side * (x * 1.3), end - 0.05), 0.035, h)
        for x, h in ((0.05, -0.2), (0.1, 0.18), (0.14, -0.22))
    )
    sketch.part(tail, stuff, folds=folds, drop=0.4)


def tie(look: Look, rng: np.random.Generator) -> Sketch:
    """Knotted, hanging straight down."""
    sketch = Sketch(turn=8)
    cloth = look.cloth(spread(rng, 0.05, 0.08), -35 if look.pattern == "Striped" else 0)
    silk = Stuff(cloth, puff=0.03, relief=0.4, wrinkle=0.05, gloss=0.25, grain="weave")
    for side in (1, -1):
        sketch.part(
            band([(side * 0.045, 0.0), (side * 0.2, -0.16, 1), (side * 0.2, -0.36, 1), (0.0, -0.38)], 0.055),
            silk,
            light=0.72,
            drop=0,
        )
    wide = spread(rng, 0.12, 0.15)
    sketch.part([(0.02, 0.1), (0.06, 0.1), (0.11, 0.95), (0.06, 1.02), (0.01, 0.95)], silk, light=0.7, drop=0)
    blade: Path = [(-0.055, 0.1), (0.055, 0.1), (wide, 0.98), (0.0, 1.14), (-wide, 0.98)]
    sketch.part(blade, silk, folds=(fold((0.01, 0.12), (0.02, 0.5), 0.035, -0.25),), drop=0.35)
    knot: Path = [(-0.08, -0.04), (0.0, -0.055, 1), (0.08, -0.04), (0.055, 0.13), (0.0, 0.145, 1), (-0.055, 0.13)]
    with sketch.naming("knot"):
        sketch.part(knot, replace(silk, cloth=replace(cloth, degrees=cloth.degrees + 50), puff=0.035), drop=0.45)
    return sketch


def earrings(look: Look, rng: np.random.Generator) -> Sketch:
    """A pair of hoops, drops or studs."""
    sketch = Sketch(turn=6)
    gold = metal(BRASS if look.trait("Metal") == "Gold" else METAL, 0.016)
    gem = Stuff(look.plain, puff=0.06, relief=0.55, gloss=1.0)
    gap = spread(rng, 0.3, 0.38)
    for side in (1, -1):
        x, dy = side * gap, spread(rng, -0.02, 0.02)
        match look.trait("Style"):
            case "Hoop":
                _hoop(sketch, gold, gem, x, dy)
            case "Drop":
                _drop(sketch, gold, gem, look, x, dy)
            case _:
                _stud(sketch, gold, gem, look, x, dy)
    return sketch


def _hoop(sketch: Sketch, gold: Stuff, gem: Stuff, x: float, dy: float) -> None:
    with sketch.naming("hoop", "Style"):
        sketch.part(band([(x, -0.28 + dy), (x + 0.03, -0.38 + dy, 1), (x + 0.07, -0.3 + dy)], 0.016), gold, drop=0)
        sketch.part(oval(x, dy, 0.3, 0.32), gold, holes=(oval(x, dy, 0.165, 0.185),), drop=0)
        sketch.part(oval(x, dy, 0.27, 0.29), replace(gem, puff=0.028), holes=(oval(x, dy, 0.19, 0.21),), drop=0)
        for turn in np.linspace(0, 2 * np.pi, 10, endpoint=False):
            sketch.part(
                oval(x + 0.23 * np.cos(turn), dy + 0.25 * np.sin(turn), 0.018, 0.018),
                replace(gold, puff=0.008),
                drop=0.3,
            )


def _drop(sketch: Sketch, gold: Stuff, gem: Stuff, look: Look, x: float, dy: float) -> None:
    sketch.part(
        band([(x - 0.06, -0.36 + dy), (x - 0.06, -0.54 + dy, 1), (x + 0.02, -0.54 + dy, 1), (x, -0.28 + dy)], 0.02),
        gold,
        drop=0,
    )
    sketch.part(oval(x, -0.24 + dy, 0.05, 0.05), gold, drop=0.2)
    pear: Path = [
        (x, -0.2 + dy),
        (x + 0.06, 0.0 + dy, 1),
        (x + 0.24, 0.2 + dy, 1),
        (x + 0.12, 0.42 + dy, 1),
        (x - 0.12, 0.42 + dy, 1),
        (x - 0.24, 0.2 + dy, 1),
        (x - 0.06, 0.0 + dy, 1),
    ]
    sketch.part(_shrunk(pear, (x, 0.16 + dy), 1.13), gold, drop=0.3)
    with sketch.naming("stone"):
        sketch.part(pear, gem, drop=0.2)
        _facets(sketch, look, x, 0.2 + dy, 0.1)


def _stud(sketch: Sketch, gold: Stuff, gem: Stuff, look: Look, x: float, dy: float) -> None:
    sketch.part(oval(x, dy, 0.235, 0.235), gold, drop=0)
    with sketch.naming("stone"):
        sketch.part(oval(x, dy, 0.2, 0.2), gem, drop=0.2)
        _facets(sketch, look, x, dy, 0.12)


def _facets(sketch: Sketch, look: Look, x: float, y: float, reach: float) -> None:
    """The flat top of a cut stone and its edges."""
    turns = np.arange(8) * np.pi / 4 + np.pi / 8
    table: Path = [(float(x + reach * np.cos(t)), float(y + reach * np.sin(t))) for t in turns]
    sketch.part(
        table,
        Stuff(plain(mix(look.ground, (255, 255, 255), 0.22)), puff=0.02, relief=0.2, gloss=0.4, clear=0.25),
        drop=0,
    )
    for t in turns:
        start, end = (
            (x + reach * np.cos(t), y + reach * np.sin(t)),
            (x + 1.55 * reach * np.cos(t), y + 1.55 * reach * np.sin(t)),
        )
        sketch.seam([start, end], 0.007, 0.35, (250, 250, 252))
    sketch.part(
        [(x - 0.07, y - 0.06), (x - 0.01, y - 0.08), (x - 0.05, y + 0.01)],
        Stuff(plain((255, 255, 255)), relief=0, clear=0.45),
        drop=0,
    )
