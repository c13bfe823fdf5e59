"""Sketches of things for the home; y = 0 is the top unless said otherwise."""

from dataclasses import replace

import numpy as np

from shopvl.synthetic.fabric import Stuff, mix, plain, shade
from shopvl.synthetic.looks import BRASS, METAL, Look, glaze, metal, spread, timber, woven
from shopvl.synthetic.motifs import motif
from shopvl.synthetic.outline import Knot, Path, band, box, flipped, mirrored, oval
from shopvl.synthetic.paint import Sketch, fold, thinner

_WOODS = ((176, 128, 82), (206, 166, 118), (112, 76, 52), (150, 102, 62))


def mug(look: Look, rng: np.random.Generator) -> Sketch:
    """Straight or rounded, handle to one side, perhaps with a print."""
    sketch = Sketch(standing=True, turn=1.5)
    stuff = glaze(look.cloth(spread(rng, 0.1, 0.15)))
    round_ = look.trait("Shape") == "Rounded"
    handle: Path = [(0.3, 0.22), (0.62, 0.12, 1), (0.64, 0.72, 1), (0.29, 0.64)]
    with sketch.naming("handle"):
        sketch.part(
            band(handle, 0.085, 0.07), replace(stuff, cloth=look.plain, tube=0, puff=0.035, relief=0.45), drop=0
        )
    if round_:
        body = [
            (-0.32, 0.06),
            (-0.4, 0.36, 1),
            (-0.36, 0.72, 1),
            (-0.2, 0.83),
            (0.0, 0.86, 1),
            (0.2, 0.83),
            (0.36, 0.72, 1),
            (0.4, 0.36, 1),
            (0.32, 0.06),
        ]
    else:
        body = [
            (-0.34, 0.06),
            (-0.33, 0.76),
            (-0.3, 0.83, 1),
            (0.0, 0.89, 1),
            (0.3, 0.83, 1),
            (0.33, 0.76),
            (0.34, 0.06),
        ]
    sketch.part([*body, *oval(0, 0.06, abs(body[0][0]), 0.07, 0, 180)], stuff, drop=0.3)  # type: ignore[list-item]
    rim = abs(body[0][0])
    with sketch.naming("rim"):
        sketch.part(oval(0, 0.06, rim, 0.075), replace(stuff, cloth=look.plain, tube=0.3, puff=0.01), drop=0)
        inside = mix(look.ground, (250, 248, 244), 0.75)
        sketch.part(
            oval(0, 0.064, rim - 0.022, 0.06),
            Stuff(plain(inside), puff=0.03, relief=-0.4, tube=0.5),
            light=0.88,
            drop=0,
        )
    if look.pattern == "Printed":
        motif(sketch, look, (-0.02, 0.42), 0.16, rng)
    elif look.printed:
        with sketch.naming("logo"):
            sketch.words(look.printed, (-0.02, 0.46), spread(rng, 0.1, 0.14), 0.46, look.figure)
    return sketch


def lamp(look: Look, rng: np.random.Generator) -> Sketch:
    """A table lamp: the shade has the item's colour."""
    sketch = Sketch(standing=True, turn=1.5)
    shade_stuff = Stuff(look.cloth(spread(rng, 0.08, 0.12)), puff=0.02, relief=0.25, tube=0.75, grain="weave")
    stem = metal(BRASS if rng.random() < 0.5 else (70, 70, 76), 0.014)
    wooden = rng.random() < 0.4
    base = timber(_WOODS[int(rng.integers(4))]) if wooden else stem
    with sketch.naming("base"):
        sketch.part([*oval(0, 1.22, 0.2, 0.035, 180, 360), *oval(0, 1.25, 0.2, 0.045, 0, 180)], base, drop=0)
        if wooden and rng.random() < 0.6:
            sketch.part(
                mirrored(
                    [
                        (0, 0.62),
                        (0.03, 0.62),
                        (0.06, 0.75, 1),
                        (0.12, 0.95, 1),
                        (0.08, 1.15, 1),
                        (0.05, 1.22),
                        (0, 1.23),
                    ]
                ),
                replace(base, tube=0.8),
                drop=0.2,
            )
        else:
            sketch.part(box(-0.018, 0.5, 0.018, 1.23), replace(stem, tube=0.8), drop=0.2)
    match look.trait("Shape"):
        case "Drum":
            sides: tuple[float, float] = (0.32, 0.36)
        case "Cone":
            sides = (0.16, 0.42)
        case _:
            return _globe(sketch, shade_stuff, stem)
    top, bottom = sides
    with sketch.naming("shade", "Shape"):
        sketch.part(
            oval(0, 0.06, top, 0.05),
            Stuff(plain(mix(look.ground, (255, 240, 200), 0.5)), relief=0.1),
            light=0.85,
            drop=0,
        )
        cone: Path = [*oval(0, 0.06, top, 0.05, 180, 0), *oval(0, 0.6, bottom, 0.06, 0, 180)]
        sketch.part(cone, shade_stuff, drop=0.3)
        _glow(sketch, look, bottom)
        for y, reach in ((0.06, top), (0.6, bottom)):
            sketch.part(
                band(oval(0, y, reach, 0.05 if y < 0.1 else 0.06, 180, 0), 0.02),
                thinner(replace(shade_stuff, cloth=plain(look.trim()), tube=0.7), 0.006),
                drop=0.1,
            )
        return sketch


def _glow(sketch: Sketch, look: Look, bottom: float) -> None:
    """Light from the bulb behind the cloth."""
    warm = mix(look.ground, (255, 236, 180), 0.75)
    for scale, clear in ((1.0, 0.75), (0.6, 0.75)):
        sketch.part(
            oval(0.0, 0.42, bottom * 0.62 * scale, 0.17 * scale),
            Stuff(plain(warm), relief=0.0, clear=clear, feather=0.06),
            drop=0,
        )


def _globe(sketch: Sketch, stuff: Stuff, stem: Stuff) -> Sketch:
    with sketch.naming("shade", "Shape"):
        sketch.part(
            oval(0, 0.3, 0.33, 0.33),
            replace(stuff, puff=0.16, relief=0.55, tube=0.3, gloss=0.25, grain="none"),
            drop=0.3,
        )
    sketch.part(box(-0.06, 0.6, 0.06, 0.67, 0.015), stem, drop=0.2)
    sketch.part(oval(-0.12, 0.17, 0.07, 0.05), Stuff(plain((255, 255, 255)), relief=0, clear=0.6), drop=0)
    return sketch


def chair(look: Look, rng: np.random.Generator) -> Sketch:
    """A dining chair in three-quarter view; painted wood or padded."""
    sketch = Sketch(standing=True, turn=1.5)
    slatted = look.trait("Back") == "Slatted"
    frame = (
        Stuff(look.plain, puff=0.014, relief=0.4, gloss=0.2, grain="wood")
        if slatted
        else timber(_WOODS[int(rng.integers(4))])
    )
    pad = Stuff(look.cloth(spread(rng, 0.08, 0.12)), puff=0.055, relief=0.5, wrinkle=0.05, grain="weave")
    for leg, light in (((-0.2, 0.62, -0.25, 1.12), 0.62), ((0.34, 0.58, 0.4, 1.08), 0.68)):
        x0, y0, x1, y1 = leg
        with sketch.naming("leg"):
            sketch.part(
                [(x0 - 0.022, y0), (x0 + 0.022, y0), (x1 + 0.016, y1), (x1 - 0.016, y1)], frame, light=light, drop=0
            )
    for x in (-0.26, 0.3):
        post: Path = [(x * 1.0, 0.0), (x + 0.045, -0.005), (x * 0.98 + 0.045, 0.66), (x * 0.98, 0.66)]
        sketch.part(post, frame, light=0.9, drop=0.1)
    with sketch.naming("back", "Back"):
        if slatted:
            _slats(sketch, frame, rng)
        else:
            _padded_back(sketch, pad)
    bare = slatted and look.pattern == "Solid" and rng.random() < 0.6
    seat_stuff = frame if bare else pad
    seat: Path = [
        (-0.27, 0.6),
        (0.02, 0.56, 1),
        (0.33, 0.57),
        (0.44, 0.68, 1),
        (0.44, 0.72),
        (0.1, 0.79, 1),
        (-0.34, 0.77),
        (-0.36, 0.72, 1),
    ]
    for x0, y0, x1, y1 in ((-0.3, 0.74, -0.34, 1.26), (0.38, 0.7, 0.44, 1.22)):
        with sketch.naming("leg"):
            sketch.part([(x0 - 0.028, y0), (x0 + 0.028, y0), (x1 + 0.019, y1), (x1 - 0.019, y1)], frame, drop=0.15)
    edge: Path = [(-0.36, 0.72), (0.1, 0.78, 1), (0.445, 0.7), (0.445, 0.76), (0.1, 0.85, 1), (-0.35, 0.82)]
    with sketch.naming("seat"):
        sketch.part(edge, replace(seat_stuff, puff=0.02), light=0.82, drop=0.2)
        sketch.part(seat, replace(seat_stuff, puff=0.05 if seat_stuff is pad else 0.015), drop=0.1)
    return sketch


def _slats(sketch: Sketch, frame: Stuff, rng: np.random.Generator) -> None:
    """The top rail of a back, and upright slats or rungs below it."""
    sketch.part(
        [(-0.27, 0.0), (0.03, -0.05, 1), (0.35, -0.005), (0.35, 0.09), (0.03, 0.045, 1), (-0.27, 0.095)],
        frame,
        drop=0.2,
    )
    if rng.random() < 0.5:
        for x in np.linspace(-0.16, 0.2, 4):
            sketch.part(box(float(x), 0.06, float(x) + 0.04, 0.62), frame, light=0.94, drop=0.15)
    else:
        for y in (0.19, 0.34):
            sketch.part(
                [
                    (-0.25, y),
                    (0.03, y - 0.03, 1),
                    (0.33, y),
                    (0.33, y + 0.075),
                    (0.03, y + 0.045, 1),
                    (-0.25, y + 0.075),
                ],
                frame,
                light=0.95,
                drop=0.2,
            )


def _padded_back(sketch: Sketch, pad: Stuff) -> None:
    back: Path = [
        (-0.27, 0.06),
        (-0.25, -0.06, 1),
        (0.04, -0.08, 1),
        (0.33, -0.06, 1),
        (0.35, 0.06),
        (0.34, 0.5),
        (0.3, 0.54, 1),
        (-0.22, 0.56, 1),
        (-0.27, 0.5),
    ]
    sketch.part(back, pad, folds=(fold((-0.2, 0.42), (0.28, 0.4), 0.05, -0.08),), drop=0.2)
    for x in (-0.12, 0.04, 0.2):
        sketch.part(oval(x, 0.2, 0.016, 0.016), thinner(pad, 0.008), light=0.7, drop=0.5)


def cushion(look: Look, rng: np.random.Generator) -> Sketch:
    """A plump square or round cushion with piping."""
    sketch = Sketch(turn=9)
    stuff = replace(woven(look.cloth(spread(rng, 0.1, 0.16), block=-0.14), 0.1), puff=0.24, relief=0.85)
    piping = Stuff(plain(look.trim(0.25) if rng.random() < 0.6 else look.accent), puff=0.008, relief=0.4)
    if look.trait("Shape") == "Round":
        with sketch.naming("piping"):
            sketch.part(oval(0, 0, 0.52, 0.52), piping, drop=0)
        pleats = tuple(
            fold((0.06 * np.cos(t), 0.06 * np.sin(t)), (0.42 * np.cos(t), 0.42 * np.sin(t)), 0.04, -0.12)
            for t in np.linspace(0, 6, 9)
        )
        sketch.part(oval(0, 0, 0.505, 0.505), stuff, folds=pleats, drop=0)
        sketch.part(oval(0, 0, 0.045, 0.04), thinner(stuff), drop=0.6)
        return sketch
    bow = spread(rng, 0.4, 0.44)
    outline: Path = [
        (-0.5, -0.5),
        (0, -bow, 1),
        (0.5, -0.5),
        (bow, 0, 1),
        (0.5, 0.5),
        (0, bow, 1),
        (-0.5, 0.5),
        (-bow, 0, 1),
    ]
    with sketch.naming("piping"):
        sketch.part(outline, piping, drop=0)
    folds = tuple(
        fold((x * 0.46, y * 0.46), (x * (0.24 + lean), y * (0.24 - lean)), 0.045, spread(rng, -0.14, -0.06))
        for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        for lean in (-0.06, 0.05)
    )
    inner = [(k[0] * 0.978, k[1] * 0.978, *k[2:]) for k in outline]
    sketch.part(inner, stuff, folds=folds, drop=0)
    if look.pattern == "Printed":
        motif(sketch, look, (0, 0), 0.22, rng)
    elif look.printed:
        with sketch.naming("logo"):
            sketch.words(look.printed, (0, 0), 0.13, 0.6, look.figure)
    return sketch


def vase(look: Look, rng: np.random.Generator) -> Sketch:
    """A belly, a bottle or a straight tube, glazed."""
    sketch = Sketch(standing=True, turn=1.5)
    stuff = replace(glaze(look.cloth(spread(rng, 0.1, 0.14), block=0.33), 1.0), puff=0.07, relief=0.3)
    halves: dict[str, list[Knot]] = {
        "Round": [(0.12, 0.02), (0.1, 0.1, 1), (0.12, 0.2), (0.42, 0.35, 1), (0.38, 0.75, 1), (0.17, 0.88)],
        "Bottle": [
            (0.085, 0.02),
            (0.06, 0.08, 1),
            (0.07, 0.4),
            (0.09, 0.55, 1),
            (0.3, 0.7, 1),
            (0.28, 1.05, 1),
            (0.16, 1.1),
        ],
        "Tube": [(0.2, 0.02), (0.17, 0.1, 1), (0.18, 0.4), (0.21, 0.8, 1), (0.19, 0.98, 1), (0.15, 1.0)],
    }
    half = halves[look.trait("Shape")]
    mouth, foot = half[0][0], half[-1]
    sketch.part([*half, (0.0, foot[1] + 0.03, 1), *flipped(half)[::-1], (0, 0.05, 1)], stuff, drop=0)
    with sketch.naming("mouth"):
        sketch.part(oval(0, 0.022, mouth, mouth * 0.22), replace(stuff, cloth=look.plain, puff=0.01, tube=0.3), drop=0)
        sketch.part(
            oval(0, 0.025, mouth * 0.84, mouth * 0.16), Stuff(plain(shade(look.trim(0.3), 0.5)), relief=0.1), drop=0
        )
    if rng.random() < 0.4:
        y = half[len(half) // 2][1]
        sketch.seam([(-0.26, y), (0, y + 0.04, 1), (0.26, y)], 0.008, 0.3)
    return sketch


def clock(look: Look, rng: np.random.Generator) -> Sketch:
    """A wall clock; rim and dial share the item's colour."""
    sketch = Sketch(turn=2, may_flip=False)
    square = look.trait("Shape") == "Square"
    rim = Stuff(look.plain, puff=0.035, relief=0.5, gloss=0.5)
    face = mix(look.ground, (255, 255, 255), 0.08) if rng.random() < 0.7 else look.ground
    outer, inner = (
        (box(-0.5, -0.5, 0.5, 0.5, 0.12), box(-0.42, -0.42, 0.42, 0.42, 0.08))
        if square
        else (oval(0, 0, 0.5, 0.5), oval(0, 0, 0.42, 0.42))
    )
    sketch.part(outer, rim, drop=0)
    with sketch.naming("dial"):
        sketch.part(inner, Stuff(plain(face), puff=0.03, relief=-0.2), drop=0.3)
    ink = (244, 242, 236) if 0.3 * face[0] + 0.59 * face[1] + 0.11 * face[2] < 140 else (40, 40, 46)
    for hour in range(12):
        turn = hour * np.pi / 6
        reach = 0.37 if not square else min(0.37 / max(abs(np.cos(turn)), abs(np.sin(turn))), 0.44)
        x, y = float(np.sin(turn)), float(-np.cos(turn))
        if hour % 3 == 0:
            sketch.words(str(hour or 12), (x * 0.31, y * 0.31), 0.13, 0.2, ink)
        else:
            sketch.seam([(x * reach, y * reach), (x * (reach - 0.06), y * (reach - 0.06))], 0.018, 0.9, ink)
    start = spread(rng, 0, 6.28)
    with sketch.naming("hands"):
        for reach, wide, turn in ((0.2, 0.03, start / 12 - 1.05), (0.32, 0.02, start)):
            sketch.part(
                band(
                    [(-0.04 * np.sin(turn), 0.04 * np.cos(turn)), (reach * np.sin(turn), -reach * np.cos(turn))], wide
                ),
                Stuff(plain(ink), puff=0.004, relief=0.2),
                drop=0.35,
            )
        sketch.part(oval(0, 0, 0.028, 0.028), metal(METAL, 0.01), drop=0.4)
    return sketch
