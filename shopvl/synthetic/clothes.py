"""Sketches of clothes as they hang or lie in a product photo, seen from the front; y = 0 is the shoulder line."""

from dataclasses import replace

import numpy as np

from shopvl.synthetic.fabric import Cloth, Stuff, mix, plain, shade
from shopvl.synthetic.looks import BRASS, METAL, Look, knitwear, metal, spread, woven
from shopvl.synthetic.motifs import motif
from shopvl.synthetic.outline import Knot, Path, band, box, flipped, mirrored, oval
from shopvl.synthetic.paint import Fold, Sketch, fold, thinner

_NECKS: dict[str, Knot] = {
    "Round Neck": (0.0, 0.15, 1),
    "V-Neck": (0.0, 0.19),
    "Polo Collar": (0.0, 0.1),
    "Turtleneck": (0.0, 0.06, 1),
}


def _trunk(neck: Knot, shoulder: float, waist: float, hem: float, hem_y: float) -> list[Knot]:
    """The body of a top without its sleeves."""
    return mirrored(
        [
            neck,
            (0.115, 0.0),
            (shoulder, 0.052),
            (shoulder - 0.02, 0.14, 1),
            (0.252, 0.25),
            (waist, 0.25 + (hem_y - 0.25) * 0.5, 1),
            (hem, hem_y - 0.012),
            (hem * 0.5, hem_y + 0.012, 1),
            (0.0, hem_y + 0.006),
        ]
    )


def _sleeve(kind: str, rng: np.random.Generator) -> list[Knot]:
    """The right sleeve; it starts under the trunk's shoulder."""
    if kind == "Short Sleeves":
        reach = spread(rng, -0.015, 0.02)
        return [
            *((0.25, 0.03), (0.345, 0.06, 1), (0.455 + reach, 0.25), (0.462 + reach, 0.275)),
            *((0.35, 0.345), (0.335, 0.335), (0.28, 0.26, 1), (0.22, 0.26)),
        ]
    swing = spread(rng, -0.03, 0.03)
    return [
        *((0.25, 0.03), (0.36, 0.07, 1), (0.392 + swing * 0.3, 0.3), (0.43 + swing, 0.74), (0.428 + swing, 0.765)),
        *((0.338 + swing, 0.78), (0.33 + swing, 0.76), (0.3, 0.48, 1), (0.22, 0.24)),
    ]


def _sleeves(sketch: Sketch, stuff: Stuff, kind: str, rng: np.random.Generator, cuff: Stuff | None = None) -> None:
    """Both sleeves, each with its own creases, under the trunk that follows."""
    for side in (1, -1):
        path = _sleeve(kind, rng)
        folds = _sleeve_folds(kind, rng, side)
        tilt = stuff if stuff.cloth.pattern == "Solid" else replace(stuff, cloth=_tilted(stuff.cloth, side * 14))
        with sketch.naming("sleeve", "Sleeve"):
            sketch.part(path if side > 0 else flipped(path), tilt, folds=folds, drop=0.0, light=0.95)
            if kind == "Short Sleeves":
                hem: Path = [(path[3][0] - 0.018, path[3][1] - 0.032), (path[4][0] - 0.018, path[4][1] - 0.03)]
                sketch.seam(hem if side > 0 else flipped(hem), 0.004, 0.3)
            elif cuff is not None:
                x, y = path[3][0], path[3][1]
                edge: Path = [(x + 0.003, y - 0.03), (x, y + 0.045), (x - 0.092, y + 0.06), (x - 0.099, y - 0.01)]
                sketch.part(edge if side > 0 else flipped(edge), cuff, drop=0.12)


def _tilted(cloth: Cloth, degrees: float) -> Cloth:
    return replace(cloth, degrees=cloth.degrees + degrees)


def _sleeve_folds(kind: str, rng: np.random.Generator, side: int) -> tuple[Fold, ...]:
    if kind == "Short Sleeves":
        rows = [((0.31, 0.27), (0.38, 0.17))]
    else:
        rows = [((0.31, 0.3), (0.38, 0.24)), ((0.315, 0.42), (0.4, 0.46)), ((0.33, 0.5), (0.405, 0.47))]
        rows += [((0.345, 0.62), (0.42, 0.68))]
    folds = []
    for (x0, y0), (x1, y1) in rows:
        dy = spread(rng, -0.03, 0.03)
        folds.append(fold((side * x0, y0 + dy), (side * x1, y1 + dy), 0.03, spread(rng, -0.28, -0.1), 0.1))
    return tuple(folds)


def _body_folds(rng: np.random.Generator, top: float, bottom: float, width: float, count: int = 5) -> tuple[Fold, ...]:
    """Creases from the armpits and soft vertical ones towards the hem."""
    folds = []
    for side in (1, -1):
        start = (side * width * 0.95, top + 0.02 + spread(rng, 0, 0.03))
        end = (side * width * spread(rng, 0.2, 0.5), top + spread(rng, 0.1, 0.22))
        folds.append(fold(start, end, 0.03, spread(rng, -0.3, -0.12), side * 0.12))
    for _ in range(count):
        x = spread(rng, -0.85, 0.85) * width
        y = bottom - spread(rng, 0.02, 0.1)
        lean = spread(rng, -0.05, 0.05)
        start = (x + lean, y - spread(rng, 0.15, 0.42))
        folds.append(fold(start, (x, y), spread(rng, 0.025, 0.05), spread(rng, -0.2, 0.2)))
    return tuple(folds)


def _neck_inside(sketch: Sketch, stuff: Stuff, depth: float, look: Look) -> None:
    """The back of the garment seen through the neck opening, with its label."""
    opening: Path = [(-0.125, 0.0), (-0.06, -0.028, 1), (0.06, -0.028, 1), (0.125, 0.0), (0.1, depth), (-0.1, depth)]
    sketch.part(opening, stuff, light=0.58, drop=0)
    sketch.part(band([(-0.118, 0.002), (-0.06, -0.02, 1), (0.06, -0.02, 1), (0.118, 0.002)], 0.026), stuff, light=0.72)
    label = (238, 236, 230) if not look.dark else (210, 208, 202)
    sketch.part(box(-0.026, 0.004, 0.026, 0.034), Stuff(plain(label), relief=0.1), drop=0.2, light=0.86)


def _neck_band(sketch: Sketch, neck: Knot, stuff: Stuff, width: float = 0.026) -> None:
    """Ribbing along the front of the neck opening."""
    with sketch.naming("neckline", "Neck"):
        if len(neck) == 3:
            sketch.part(band([(-0.118, -0.004), neck, (0.118, -0.004)], width), stuff, drop=0.18)
            return
        for side in (1, -1):
            sketch.part(band([(side * 0.118, -0.006), (neck[0], neck[1] + 0.004)], width), stuff, drop=0.15)


def _collar(sketch: Sketch, stuff: Stuff, spread_x: float = 0.13, tip_y: float = 0.125) -> None:
    """Two flaps that meet at the top button."""
    stand = band([(-0.112, 0.012), (-0.05, -0.045, 1), (0.05, -0.045, 1), (0.112, 0.012)], 0.05)
    with sketch.naming("collar", "Neck"):
        sketch.part(stand, stuff, light=0.78, drop=0.1)
        for side in (1, -1):
            flap: Path = [
                (0.0, 0.072),
                (0.03, 0.03, 1),
                (0.1, -0.045),
                (0.126, -0.02, 1),
                (spread_x + 0.012, 0.045),
                (0.062, tip_y),
            ]
            flap = flap if side > 0 else flipped(flap)
            sketch.part(flap, thinner(stuff), drop=0.4)


def _hem(sketch: Sketch, hem: float, hem_y: float, rgb: tuple[float, float, float]) -> None:
    line: Path = [(-hem * 0.99, hem_y - 0.035), (0, hem_y - 0.008, 1), (hem * 0.99, hem_y - 0.035)]
    sketch.stitch(line, rgb, 0.004, 0.012, 0.5)


def t_shirt(look: Look, rng: np.random.Generator) -> Sketch:
    """Round, V or polo neck; short, long or no sleeves; plain, patterned or with a print."""
    sketch = Sketch(turn=7)
    sleeve, collar = look.trait("Sleeve"), look.trait("Neck")
    neck = _NECKS[collar]
    stuff = knitwear(look.cloth(spread(rng, 0.075, 0.13)))
    rib = replace(knitwear(plain(look.trim()), 0), puff=0.012, grain="rib")
    hem_y, hem = spread(rng, 0.86, 0.96), spread(rng, 0.25, 0.275)
    _neck_inside(sketch, stuff, neck[1] * 0.9, look)
    if sleeve == "Sleeveless":
        body = _tank(neck, hem, hem_y)
    else:
        _sleeves(sketch, stuff, sleeve, rng, rib if sleeve == "Long Sleeves" else None)
        body = _trunk(neck, 0.29, spread(rng, 0.235, 0.25), hem, hem_y)
    sketch.part(body, stuff, folds=_body_folds(rng, 0.25, hem_y, hem), drop=0.22)
    if collar == "Polo Collar":
        sketch.part(box(-0.026, 0.06, 0.026, 0.27), thinner(stuff, 0.008), drop=0.25)
        with sketch.naming("buttons"):
            for y in (0.1, 0.17, 0.24):
                sketch.part(oval(0, y, 0.009, 0.009), metal((236, 234, 228), 0.004), drop=0.4)
        _collar(sketch, replace(rib, grain="weave"))
    else:
        _neck_band(sketch, neck, rib)
    if sleeve == "Sleeveless":
        for side in (1, -1):
            hole: Path = [(side * 0.195, 0.02), (side * 0.19, 0.2, 1), (side * 0.252, 0.26)]
            sketch.part(band(hole, 0.016), rib, drop=0.1)
    _hem(sketch, hem, hem_y, look.thread())
    if look.pattern == "Printed":
        motif(sketch, look, (0.0, 0.42), spread(rng, 0.13, 0.17), rng)
    if look.printed:
        y = 0.63 if look.pattern == "Printed" else 0.33
        with sketch.naming("logo"):
            sketch.words(look.printed, (0.0, y), spread(rng, 0.07, 0.1), 0.36, look.figure)
    return sketch


def _tank(neck: Knot, hem: float, hem_y: float) -> list[Knot]:
    low: Knot = (0.0, neck[1] * 1.35, *neck[2:])
    return mirrored(
        [
            low,
            (0.115, 0.0),
            (0.2, 0.02),
            (0.185, 0.2, 1),
            (0.255, 0.26),
            (0.235, 0.6, 1),
            (hem, hem_y),
            (0, hem_y + 0.01),
        ]
    )


def shirt(look: Look, rng: np.random.Generator) -> Sketch:
    """Collar, button placket, chest pocket, cuffs."""
    sketch = Sketch(turn=6)
    stuff = woven(look.cloth(spread(rng, 0.05, 0.085), 90 if look.pattern == "Striped" else 0))
    hem_y = spread(rng, 0.93, 1.0)
    _neck_inside(sketch, stuff, 0.09, look)
    _sleeves(sketch, stuff, look.trait("Sleeve"), rng, thinner(stuff))
    body = mirrored(
        [
            *((0.0, 0.09), (0.112, 0.0), (0.285, 0.05), (0.262, 0.14, 1), (0.25, 0.25), (0.232, 0.55, 1)),
            *((0.255, hem_y - 0.09), (0.22, hem_y + 0.01, 1), (0.1, hem_y + 0.005, 1), (0.0, hem_y)),
        ]
    )
    sketch.part(body, stuff, folds=_body_folds(rng, 0.25, hem_y, 0.25, 4), drop=0.22)
    sketch.part(box(-0.024, 0.07, 0.024, hem_y), thinner(stuff, 0.008), drop=0.2)
    button = (246, 244, 238) if look.dark or rng.random() < 0.5 else shade(look.ground, 0.5)
    with sketch.naming("buttons"):
        for y in np.linspace(0.11, hem_y - 0.08, 7):
            sketch.part(oval(0, float(y), 0.0105, 0.0105), metal(button, 0.004), drop=0.45)
    if rng.random() < 0.65:
        pocket: Path = [(0.07, 0.26), (0.19, 0.255), (0.19, 0.38), (0.13, 0.405), (0.07, 0.385)]
        with sketch.naming("pocket"):
            sketch.part(pocket, thinner(stuff, 0.01), drop=0.2)
        sketch.seam([(0.07, 0.285), (0.19, 0.28)], 0.004, 0.3)
    for side in (1, -1):
        sketch.seam([(side * 0.115, 0.05), (side * 0.27, 0.1)], 0.004, 0.22)
    _collar(sketch, thinner(stuff), tip_y=spread(rng, 0.12, 0.145))
    return sketch


def sweater(look: Look, rng: np.random.Generator) -> Sketch:
    """Knitted, with ribbed neck, cuffs and hem."""
    sketch = Sketch(turn=6)
    neck = _NECKS[look.trait("Neck")]
    stuff = Stuff(look.cloth(spread(rng, 0.09, 0.14)), puff=0.055, relief=0.5, wrinkle=0.13, grain="knit")
    rib = Stuff(plain(look.trim(0.12)), puff=0.018, relief=0.35, grain="rib")
    hem_y = spread(rng, 0.82, 0.9)
    _neck_inside(sketch, rib, max(0.05, neck[1] * 0.85), look)
    _sleeves(sketch, stuff, "Long Sleeves", rng, rib)
    body = _trunk(neck, 0.305, 0.27, 0.262, hem_y)
    sketch.part(body, stuff, folds=_body_folds(rng, 0.25, hem_y, 0.26, 4), drop=0.3)
    sketch.part(band([(-0.262, hem_y), (0, hem_y + 0.03, 1), (0.262, hem_y)], 0.065), rib, drop=0.15)
    if look.trait("Neck") == "Turtleneck":
        roll: Path = [
            (-0.125, 0.05),
            (-0.12, -0.1),
            (-0.06, -0.125, 1),
            (0.06, -0.125, 1),
            (0.12, -0.1),
            (0.125, 0.05),
            (0, 0.1, 1),
        ]
        with sketch.naming("collar", "Neck"):
            sketch.part(roll, replace(rib, puff=0.035, relief=0.45), drop=0.3)
        sketch.seam([(-0.12, -0.02), (0, 0.03, 1), (0.12, -0.02)], 0.008, 0.22)
    else:
        _neck_band(sketch, neck, rib, 0.04)
    if look.pattern == "Printed":
        motif(sketch, look, (0.0, 0.44), 0.15, rng)
    return sketch


def hoodie(look: Look, rng: np.random.Generator) -> Sketch:
    """Hood, drawstrings, pocket; pulled over or zipped."""
    sketch = Sketch(turn=6)
    stuff = Stuff(look.cloth(spread(rng, 0.09, 0.14)), puff=0.06, relief=0.48, wrinkle=0.16, grain="weave")
    rib = Stuff(plain(look.trim(0.14)), puff=0.018, relief=0.35, grain="rib")
    hem_y = spread(rng, 0.84, 0.92)
    hood: Path = [
        (-0.17, 0.06),
        (-0.2, -0.1, 1),
        (-0.1, -0.2, 1),
        (0.1, -0.2, 1),
        (0.2, -0.1, 1),
        (0.17, 0.06),
        (0, 0.12, 1),
    ]
    with sketch.naming("hood"):
        sketch.part(hood, stuff, drop=0)
        inside: Path = [(-0.12, 0.04), (-0.13, -0.1, 1), (0, -0.17, 1), (0.13, -0.1, 1), (0.12, 0.04), (0, 0.13, 1)]
        sketch.part(inside, thinner(replace(stuff, cloth=plain(look.trim(0.1)))), light=0.55)
    _sleeves(sketch, stuff, "Long Sleeves", rng, rib)
    sketch.part(
        _trunk((0.0, 0.17, 1), 0.3, 0.265, 0.265, hem_y), stuff, folds=_body_folds(rng, 0.25, hem_y, 0.26, 4), drop=0.3
    )
    with sketch.naming("hood", more=True):
        for side in (1, -1):
            edge: Path = [
                (0.0, 0.11),
                (0.08, 0.07, 1),
                (0.125, -0.03),
                (0.18, -0.01, 1),
                (0.165, 0.075, 1),
                (0.02, 0.17),
            ]
            sketch.part(edge if side > 0 else flipped(edge), replace(stuff, puff=0.03), drop=0.3)
    sketch.part(band([(-0.265, hem_y), (0, hem_y + 0.03, 1), (0.265, hem_y)], 0.06), rib, drop=0.15)
    pocket: Path = [(-0.105, 0.56), (0.105, 0.56), (0.18, 0.7), (0.18, 0.785), (-0.18, 0.785), (-0.18, 0.7)]
    with sketch.naming("pocket"):
        sketch.part(pocket, thinner(stuff, 0.02), drop=0.28)
    sketch.stitch([(-0.098, 0.572), (0.098, 0.572)], look.thread(), 0.004, 0.012)
    if look.trait("Closure") == "Zip":
        with sketch.naming("zip", "Closure"):
            sketch.part(
                box(-0.014, 0.12, 0.014, hem_y + 0.03), Stuff(plain(shade(look.trim(), 0.8)), puff=0.006), drop=0.3
            )
            sketch.stitch([(0, 0.13), (0, hem_y)], METAL, 0.012, 0.006, 0.95)
            sketch.part(box(-0.009, 0.2, 0.009, 0.25, 0.006), metal(), drop=0.3)
    with sketch.naming("drawstring"):
        for side in (1, -1):
            end = 0.36 + spread(rng, -0.03, 0.03)
            cord: Path = [(side * 0.04, 0.13), (side * 0.055, 0.22, 1), (side * 0.045 + spread(rng, -0.01, 0.01), end)]
            sketch.part(band(cord, 0.012), Stuff(plain((236, 234, 228)), puff=0.006), drop=0.35)
            sketch.part(box(cord[2][0] - 0.008, end, cord[2][0] + 0.008, end + 0.024), metal(), drop=0.3)
    if look.pattern == "Printed":
        motif(sketch, look, (0.0, 0.4), 0.14, rng)
    elif look.printed and look.trait("Closure") != "Zip":
        with sketch.naming("logo"):
            sketch.words(look.printed, (0.0, 0.45), 0.07, 0.3, look.figure)
    return sketch


def coat(look: Look, rng: np.random.Generator) -> Sketch:
    """Lapels, one or two rows of buttons or a zip, flap pockets; to the hip or to the knee."""
    sketch = Sketch(turn=4)
    long = look.trait("Length") == "Long"
    stuff = Stuff(look.cloth(spread(rng, 0.1, 0.14)), puff=0.04, relief=0.42, wrinkle=0.1, grain="weave")
    hem_y, hem = (1.42, 0.335) if long else (0.98, 0.285)
    lining = Stuff(plain(mix(look.trim(0.3), (120, 100, 90), 0.3)), relief=0.2, puff=0.02)
    sketch.part([(-0.12, 0.0), (0, -0.05, 1), (0.12, 0.0), (0.06, 0.3), (-0.06, 0.3)], lining, light=0.7, drop=0)
    _sleeves(sketch, stuff, "Long Sleeves", rng, thinner(stuff))
    zipped = look.trait("Closure") == "Zip"
    neck: Knot = (0.0, 0.1) if zipped else (0.01, 0.34)
    body = _trunk(neck, 0.3, 0.245, hem, hem_y)
    sketch.part(body, stuff, folds=_body_folds(rng, 0.25, hem_y, hem * 0.85, 6), drop=0.25)
    if zipped:
        _zip_front(sketch, stuff, look, hem_y)
    else:
        _lapels(sketch, stuff)
        _coat_buttons(sketch, look, hem_y, rng)
    for side in (1, -1):
        y = 0.66
        flap: Path = [(0.085, y), (0.215, y - 0.012), (0.22, y + 0.04), (0.088, y + 0.055)]
        with sketch.naming("pocket"):
            sketch.part(flap if side > 0 else flipped(flap), thinner(stuff, 0.01), drop=0.35)
    if long and rng.random() < 0.5:
        with sketch.naming("belt"):
            sketch.part(box(-0.248, 0.555, 0.248, 0.605), thinner(stuff, 0.014), drop=0.3)
            sketch.part(
                box(-0.04, 0.545, 0.04, 0.615, 0.01),
                metal(shade(look.trim(), 0.7)),
                holes=(box(-0.026, 0.56, 0.026, 0.6),),
            )
    return sketch


def _lapels(sketch: Sketch, stuff: Stuff) -> None:
    with sketch.naming("collar"):
        for side in (1, -1):
            lapel: Path = [(0.015, 0.36), (0.1, -0.005), (0.145, 0.035), (0.17, 0.135), (0.122, 0.15), (0.135, 0.185)]
            sketch.part(lapel if side > 0 else flipped(lapel), thinner(stuff, 0.012), drop=0.4)
            collar: Path = [(0.06, -0.05), (0.115, -0.03, 1), (0.165, 0.07), (0.162, 0.125), (0.1, 0.09), (0.075, 0.03)]
            sketch.part(collar if side > 0 else flipped(collar), thinner(stuff, 0.012), drop=0.35)
        sketch.part(band([(-0.09, -0.02), (0, -0.07, 1), (0.09, -0.02)], 0.045), thinner(stuff, 0.012), light=0.9)


def _coat_buttons(sketch: Sketch, look: Look, hem_y: float, rng: np.random.Generator) -> None:
    sketch.seam([(0.02, 0.35), (0.02, hem_y)], 0.006, 0.5)
    double = rng.random() < 0.5
    rgb = BRASS if rng.random() < 0.3 else shade(look.trim(), 0.55) if not look.dark else (120, 112, 104)
    with sketch.naming("buttons", "Closure"):
        for y in (0.4, 0.51, 0.62):
            for x in (-0.07, 0.085) if double else (0.0,):
                sketch.part(oval(x, y, 0.018, 0.018), metal(rgb, 0.008), drop=0.45)


def _zip_front(sketch: Sketch, stuff: Stuff, look: Look, hem_y: float) -> None:
    collar: Path = [(-0.125, 0.03), (-0.11, -0.09), (0, -0.12, 1), (0.11, -0.09), (0.125, 0.03), (0, 0.13, 1)]
    with sketch.naming("collar"):
        sketch.part(collar, replace(stuff, puff=0.025), drop=0.3)
    sketch.seam([(-0.12, 0.035), (0, 0.12, 1), (0.12, 0.035)], 0.006, 0.35)
    with sketch.naming("zip", "Closure"):
        sketch.part(box(-0.016, -0.09, 0.016, hem_y), Stuff(plain(shade(look.trim(), 0.75)), puff=0.008), drop=0.3)
        sketch.stitch([(0, -0.08), (0, hem_y - 0.01)], METAL, 0.013, 0.007, 0.95)
        sketch.part(box(-0.01, 0.0, 0.01, 0.055, 0.006), metal(), drop=0.35)
    for y in (0.3, 0.47):
        sketch.seam([(-0.25, y), (0.25, y)], 0.005, 0.25)


def dress(look: Look, rng: np.random.Generator) -> Sketch:
    """A bodice and a flared skirt, from mini to maxi."""
    sketch = Sketch(turn=5)
    neck = _NECKS[look.trait("Neck")]
    sleeve = look.trait("Sleeve")
    stuff = woven(look.cloth(spread(rng, 0.07, 0.12)), 0.1)
    hem_y = {"Mini": 1.04, "Midi": 1.34, "Maxi": 1.72}[look.trait("Length")] + spread(rng, -0.04, 0.04)
    flare = spread(rng, 0.3, 0.42)
    _neck_inside(sketch, stuff, neck[1] * 0.9, look)
    if sleeve != "Sleeveless":
        _sleeves(sketch, stuff, sleeve, rng, thinner(stuff) if sleeve == "Long Sleeves" else None)
    with sketch.naming("skirt", "Length"):
        sketch.part(
            _skirt(0.165, 0.5, flare, hem_y, rng), stuff, folds=_skirt_folds(rng, 0.15, 0.5, flare, hem_y), drop=0
        )
    shoulder = 0.2 if sleeve == "Sleeveless" else 0.28
    low: Knot = (0.0, neck[1] * 1.2, *neck[2:])
    bodice = mirrored(
        [
            low,
            (0.115, 0.0),
            (shoulder, 0.04),
            (shoulder - 0.02, 0.16, 1),
            (0.228, 0.25),
            (0.2, 0.38, 1),
            (0.17, 0.51),
            (0, 0.525),
        ]
    )
    sketch.part(bodice, stuff, folds=_body_folds(rng, 0.25, 0.52, 0.2, 2), drop=0.18)
    _neck_band(sketch, low, thinner(stuff, 0.01), 0.014)
    if rng.random() < 0.5:
        belt = plain(shade(look.trim(), 0.8)) if rng.random() < 0.5 else plain(look.accent)
        with sketch.naming("belt"):
            sketch.part(
                band([(-0.172, 0.505), (0, 0.53, 1), (0.172, 0.505)], 0.045), Stuff(belt, puff=0.014), drop=0.25
            )
    else:
        sketch.seam([(-0.17, 0.51), (0, 0.53, 1), (0.17, 0.51)], 0.006, 0.35)
    return sketch


def _skirt(waist: float, top: float, flare: float, hem_y: float, rng: np.random.Generator) -> list[Knot]:
    """A flared skirt with a wavy hem."""
    waves = 9
    xs = np.linspace(flare, -flare, waves)
    hem: list[Knot] = []
    for i, x in enumerate(xs):
        sag = 0.03 * (1 - (x / flare) ** 2) + (0.014 if i % 2 else -0.008) + spread(rng, -0.004, 0.004)
        hem.append((float(x), hem_y + sag) if i in (0, waves - 1) else (float(x), hem_y + sag, 1))
    bow = waist + (flare - waist) * 0.42
    right: list[Knot] = [(waist, top), (bow, top + (hem_y - top) * 0.3, 1)]
    return [*right, *hem, (-bow, top + (hem_y - top) * 0.3, 1), (-waist, top)]


def _skirt_folds(rng: np.random.Generator, waist: float, top: float, flare: float, hem_y: float) -> tuple[Fold, ...]:
    folds = []
    for share in np.linspace(-0.9, 0.9, 9):
        lean = float(share) + spread(rng, -0.06, 0.06)
        start = (lean * waist, top + spread(rng, 0.02, 0.15) * (hem_y - top))
        folds.append(fold(start, (lean * flare, hem_y + 0.03), spread(rng, 0.03, 0.06), spread(rng, -0.3, 0.22)))
    return tuple(folds)


def skirt(look: Look, rng: np.random.Generator) -> Sketch:
    """A waistband and a flared or straight fall."""
    sketch = Sketch(turn=5)
    stuff = woven(look.cloth(spread(rng, 0.07, 0.12)), 0.1)
    hem_y = {"Mini": 0.5, "Midi": 0.8, "Maxi": 1.15}[look.trait("Length")] + spread(rng, -0.03, 0.03)
    flare = spread(rng, 0.3, 0.44)
    back: Path = [(-0.2, 0.02), (0, -0.03, 1), (0.2, 0.02), (0, 0.07, 1)]
    sketch.part(back, stuff, light=0.55, drop=0)
    sketch.part(
        _skirt(0.205, 0.03, flare, hem_y, rng), stuff, folds=_skirt_folds(rng, 0.19, 0.05, flare, hem_y), drop=0.2
    )
    with sketch.naming("waistband"):
        sketch.part(band([(-0.204, 0.045), (0, 0.09, 1), (0.204, 0.045)], 0.06), thinner(stuff), drop=0.25)
    if rng.random() < 0.5:
        with sketch.naming("button"):
            sketch.part(
                oval(0.0, 0.068, 0.014, 0.014), metal(METAL if look.dark else shade(look.ground, 0.5), 0.006), drop=0.4
            )
    return sketch
