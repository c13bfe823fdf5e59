"""What lies behind a product: white, plain paper, or a busy scene; and the shadow the product throws on it."""

from functools import lru_cache
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

BACKGROUNDS = ("white", "plain", "busy")

_PAPERS = (
    (236, 232, 226), (222, 228, 234), (240, 226, 222), (224, 234, 224), (246, 238, 214), (214, 214, 218),
    (232, 222, 238), (206, 216, 220), (250, 244, 238), (196, 202, 208), (228, 210, 196), (210, 226, 230),
)  # fmt: skip
_LYING = ("wood", "tiles", "marble", "linen", "terrazzo", "wood", "plaster")
_STANDING = ("room", "table", "brick", "foliage", "bokeh", "room", "table")
_VARIANTS = 6


def backdrop(background: str, standing: bool, size_px: int, rng: np.random.Generator) -> np.ndarray:
    """A background (Y, X, 3), float32 in 0..255."""
    match background:
        case "white":
            return np.full((size_px, size_px, 3), rng.choice((255, 255, 255, 252, 248)), dtype=np.float32)
        case "plain":
            return _paper(standing, size_px, rng)
        case _:
            scenes = _STANDING if standing else _LYING
            return _scene(scenes[int(rng.integers(len(scenes)))], size_px, rng)


def _paper(standing: bool, size_px: int, rng: np.random.Generator) -> np.ndarray:
    """Studio paper: a tint, light falling off to the corners, for standing goods a soft sweep of the floor."""
    tint = np.array(_PAPERS[int(rng.integers(len(_PAPERS)))], dtype=np.float32) * rng.uniform(0.92, 1.03)
    y, x = np.mgrid[0 : 1 : size_px * 1j, 0 : 1 : size_px * 1j].astype(np.float32)
    centre = rng.uniform(0.25, 0.6, 2)
    fall = 1.04 - rng.uniform(0.1, 0.32) * ((x - centre[0]) ** 2 + (y - centre[1]) ** 2)
    if standing:
        horizon = rng.uniform(0.58, 0.75)
        fall = fall + 0.05 * np.tanh((y - horizon) * 14)
    return np.clip(tint * fall[..., None], 0, 255)


def _scene(name: str, size_px: int, rng: np.random.Generator) -> np.ndarray:
    """A crop of one of a few stored scenes, sometimes mirrored, in slightly different light."""
    variant = int(rng.integers(_VARIANTS))
    canvas = _stored(name, variant, size_px)
    slack = canvas.shape[0] - size_px
    # a scene with a floor is moved sideways only: the floor has to stay under the product
    y = int(rng.integers(slack + 1)) if name in _LYING else slack // 2
    x = int(rng.integers(slack + 1))
    crop = canvas[y : y + size_px, x : x + size_px].astype(np.float32)
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    warmth = rng.uniform(-0.04, 0.04)
    return np.clip(crop * rng.uniform(0.9, 1.06) * np.array([1 + warmth, 1, 1 - warmth]), 0, 255).astype(np.float32)


@lru_cache(maxsize=256)
def _stored(name: str, variant: int, size_px: int) -> np.ndarray:
    """A scene (S, S, 3) uint8, S a quarter larger than the picture; depends on nothing but its arguments."""
    side = int(size_px * 1.25)
    rng = np.random.default_rng([sum(map(ord, name)), variant])
    painted = _SCENES[name](side, rng)
    return np.clip(painted, 0, 255).astype(np.uint8)


def _cloud(side: int, cells: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Smooth noise (S, S) around zero with the given number of cells down and across."""
    coarse = Image.fromarray(rng.normal(size=cells).astype(np.float32))
    return np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))


def _tone(rng: np.random.Generator, *tones: tuple[int, int, int]) -> np.ndarray:
    return np.array(tones[int(rng.integers(len(tones)))], dtype=np.float32)


def _grain(side: int, rng: np.random.Generator) -> np.ndarray:
    """Wood grain running to the right, around zero."""
    fine = _cloud(side, (side // 2, 4), rng) * 0.5 + _cloud(side, (side // 5, 3), rng)
    rings = np.sin(_cloud(side, (9, 3), rng) * 7 + np.linspace(0, 9, side)[:, None])
    return 0.6 * fine + 0.5 * rings


def _wood(side: int, rng: np.random.Generator) -> np.ndarray:
    """Planks seen from above."""
    tone = _tone(rng, (176, 132, 90), (142, 102, 70), (206, 172, 132), (118, 88, 66), (190, 182, 170))
    planks = int(rng.integers(3, 6))
    light = 1 + 0.055 * _grain(side, rng)
    rows = np.arange(side)
    edges = np.linspace(0, side, planks + 1) + np.concatenate([[0], rng.normal(0, side * 0.012, planks - 1), [0]])
    for low, high in pairwise(edges.tolist()):
        inside = (rows >= low) & (rows < high)
        light[inside] = light[inside][:, :: int(rng.choice((-1, 1)))] * rng.uniform(0.9, 1.08)
        gap = np.exp(-np.abs(rows - low) / (0.004 * side + 0.4))
        light *= 1 - 0.6 * gap[:, None]
    canvas = tone * light[..., None]
    return canvas if rng.random() < 0.5 else canvas.transpose(1, 0, 2)


def _tiles(side: int, rng: np.random.Generator) -> np.ndarray:
    """Glazed square tiles with grout."""
    tone = _tone(rng, (206, 212, 214), (126, 158, 168), (220, 208, 190), (150, 170, 150), (182, 190, 204))
    count = int(rng.integers(4, 7))
    pitch = side / count
    phase = (np.arange(side) / pitch) % 1
    cell = (np.arange(side) / pitch).astype(int)
    edge = np.minimum(phase, 1 - phase)
    grout = np.minimum(edge[:, None], edge[None, :]) < 0.022
    bevel = 0.1 * (np.exp(-phase * 16)[:, None] + np.exp(-phase * 16)[None, :]) - 0.1 * (
        np.exp(-(1 - phase) * 16)[:, None] + np.exp(-(1 - phase) * 16)[None, :]
    )
    each = rng.normal(1, 0.05, (count + 1, count + 1))[cell[:, None], cell[None, :]]
    canvas = tone * ((each + bevel) * (1 + 0.012 * _cloud(side, (30, 30), rng)))[..., None]
    canvas[grout] = _tone(rng, (236, 234, 228), (150, 148, 144))
    return np.asarray(Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.6)))


def _marble(side: int, rng: np.random.Generator) -> np.ndarray:
    """Polished stone: veins where warped noise crosses zero."""
    tone, vein = (_tone(rng, (238, 236, 234), (226, 218, 210), (60, 62, 66), (206, 214, 212)), 0.0)
    turbulence = _cloud(side, (5, 5), rng) + 0.5 * _cloud(side, (11, 11), rng) + 0.25 * _cloud(side, (24, 24), rng)
    for offset, weight in ((0.0, 0.55), (0.9, 0.3)):
        # veins come and go: each is strong in some places only
        presence = np.clip(_cloud(side, (4, 4), rng), 0, 1)
        vein = vein + weight * presence * np.exp(-np.abs(turbulence - offset) * 9)
    blotch = 1 + 0.03 * _cloud(side, (6, 6), rng)
    ink = np.array((120, 120, 126) if tone.mean() > 128 else (200, 196, 186), dtype=np.float32)
    veins = np.clip(np.asarray(vein), 0, 1)[..., None]
    return tone * blotch[..., None] * (1 - veins) + ink * veins


def _linen(side: int, rng: np.random.Generator) -> np.ndarray:
    """A bed sheet: weave and broad soft folds."""
    tone = _tone(rng, (226, 220, 208), (188, 196, 204), (204, 190, 176), (170, 178, 168), (232, 224, 226))
    weave = 0.02 * (rng.normal(size=(side, 1)) + rng.normal(size=(1, side))) + 0.015 * rng.normal(size=(side, side))
    height = _cloud(side, (4, 7), rng) + 0.4 * _cloud(side, (9, 13), rng)
    folds = np.gradient(height, axis=1) + 0.6 * np.gradient(height, axis=0)
    return tone * (1 + weave + 0.16 * np.tanh(folds * side * 0.05))[..., None]


def _terrazzo(side: int, rng: np.random.Generator) -> np.ndarray:
    """Stone chips in cement."""
    tone = _tone(rng, (232, 228, 222), (206, 208, 210), (226, 210, 200))
    sheet = Image.new("RGB", (side * 2, side * 2), tuple(int(t) for t in tone))
    draw = ImageDraw.Draw(sheet)
    chips = ((188, 112, 88), (88, 104, 112), (200, 168, 112), (140, 150, 132), (250, 248, 244), (70, 66, 64))
    for _ in range(int(rng.integers(160, 260))):
        x, y = rng.uniform(0, side * 2, 2)
        radius = rng.uniform(0.006, 0.026) * side * 2
        turns = np.sort(rng.uniform(0, 2 * np.pi, 6))
        reach = radius * rng.uniform(0.6, 1.1, 6)
        corners = list(zip((x + reach * np.cos(turns)).tolist(), (y + reach * np.sin(turns)).tolist(), strict=True))
        draw.polygon(corners, fill=chips[int(rng.integers(len(chips)))])
    return np.asarray(sheet.reduce(2), dtype=np.float32) * (1 + 0.012 * rng.normal(size=(side, side, 1)))


def _plaster(side: int, rng: np.random.Generator) -> np.ndarray:
    """A rough wall with the shadow of leaves on it."""
    tone = _tone(rng, (222, 206, 186), (190, 196, 190), (212, 180, 160), (206, 208, 214))
    height = _cloud(side, (24, 24), rng) + 0.6 * _cloud(side, (60, 60), rng)
    light = 1 + 0.035 * np.tanh((np.gradient(height, axis=0) + np.gradient(height, axis=1)) * side * 0.006)
    sheet = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(sheet)
    for _ in range(26):
        draw.polygon(_leaf(rng, side), fill=255)
    shadow = np.asarray(sheet.filter(ImageFilter.GaussianBlur(0.016 * side)), dtype=np.float32) / 255
    return tone * (light * (1 - 0.2 * shadow))[..., None]


def _bokeh(side: int, rng: np.random.Generator) -> np.ndarray:
    """Lights far out of focus."""
    dark, light = _hues(rng)
    y, x = np.mgrid[0 : 1 : side * 1j, 0 : 1 : side * 1j]
    canvas = dark + (light - dark) * (0.5 * y + 0.25 * x + 0.12 * _cloud(side, (4, 4), rng))[..., None]
    for _ in range(int(rng.integers(14, 26))):
        cx, cy, radius = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.035, 0.13)
        reach = np.hypot(x - cx, y - cy) / radius
        disc = np.clip((1 - reach) * radius * side * 0.35, 0, 1) * (0.55 + 0.45 * np.clip(reach, 0, 1) ** 3)
        glow = light + rng.normal(0, 30, 3) + 50
        canvas = canvas + (glow - canvas) * (disc * rng.uniform(0.12, 0.42))[..., None]
    return canvas


def _hues(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A dark and a light colour that go together."""
    pairs = (
        ((44, 52, 78), (226, 170, 110)), ((70, 54, 60), (240, 196, 160)), ((40, 70, 66), (200, 214, 150)),
        ((84, 76, 96), (222, 190, 214)), ((96, 104, 112), (236, 230, 220)), ((30, 60, 96), (150, 206, 226)),
        ((120, 96, 80), (250, 232, 206)), ((36, 38, 44), (196, 198, 206)),
    )  # fmt: skip
    dark, light = pairs[int(rng.integers(len(pairs)))]
    return np.array(dark, dtype=np.float64), np.array(light, dtype=np.float64)


def _foliage(side: int, rng: np.random.Generator) -> np.ndarray:
    """Leaves out of focus above a stone ledge."""
    sheet = Image.new("RGB", (side, side), (52, 74, 50))
    for blur, count in ((0.03, 70), (0.014, 50)):
        draw = ImageDraw.Draw(sheet)
        for _ in range(count):
            green = rng.uniform(70, 175)
            colour = (int(green * rng.uniform(0.5, 0.85)), int(green), int(green * rng.uniform(0.35, 0.6)))
            draw.polygon(_leaf(rng, side), fill=colour)
        sheet = sheet.filter(ImageFilter.GaussianBlur(blur * side))
    canvas = np.array(sheet, dtype=np.float32)
    ledge = int(side * rng.uniform(0.66, 0.74))
    stone = _tone(rng, (196, 190, 180), (170, 168, 166), (150, 124, 100))
    depth = np.linspace(0.86, 1.06, side - ledge)[:, None, None]
    canvas[ledge:] = stone * depth * (1 + 0.03 * _cloud(side, (40, 40), rng)[ledge:, :, None])
    return _soft_step(canvas, ledge, side)


def _leaf(rng: np.random.Generator, side: int) -> list[tuple[float, float]]:
    x, y = rng.uniform(-0.05, 1.05, 2) * side
    length, turn = rng.uniform(0.06, 0.16) * side, rng.uniform(0, 2 * np.pi)
    t = np.linspace(0, 2 * np.pi, 14)
    along, across = np.cos(t) * length, np.sin(t) * length * 0.36 * (1 - 0.4 * np.cos(t))
    xs, ys = x + along * np.cos(turn) - across * np.sin(turn), y + along * np.sin(turn) + across * np.cos(turn)
    return list(zip(xs.tolist(), ys.tolist(), strict=True))


def _soft_step(canvas: np.ndarray, row: int, side: int) -> np.ndarray:
    """The edge of a ledge or table, a little out of focus."""
    reach = max(1, int(0.008 * side))
    band = canvas[row - reach : row + reach].mean(axis=0, keepdims=True)
    canvas[row - reach : row + reach] = 0.5 * canvas[row - reach : row + reach] + 0.5 * band
    return canvas


def _floor(side: int, horizon: int, rng: np.random.Generator) -> np.ndarray:
    """Floor boards running away from the viewer (rows below the horizon, X, 3)."""
    tone = _tone(rng, (168, 126, 88), (196, 160, 120), (126, 92, 68), (182, 176, 168))
    rows = side - horizon
    depth = np.linspace(0.42, 1.0, rows)[:, None]
    x = (np.arange(side)[None, :] / side - 0.5) / depth
    board = np.floor(x * 7 + 40).astype(int)
    light = rng.normal(1, 0.05, 90)[board % 90]
    gap = np.abs((x * 7) % 1 - 0.5) > 0.485
    grain = np.sin(x * 160 + 3 * np.sin(9 / depth)) * 0.018
    lit = (light + grain) * np.where(gap, 0.72, 1.0) * (0.84 + 0.2 * depth)
    return tone * lit[..., None]


def _room(side: int, rng: np.random.Generator) -> np.ndarray:
    """A wall with light from a window, a skirting board, and floor boards."""
    wall = _tone(rng, (218, 214, 206), (186, 198, 196), (206, 196, 210), (228, 212, 190), (166, 178, 190))
    horizon = int(side * rng.uniform(0.6, 0.68))
    y, x = np.mgrid[0 : 1 : side * 1j, 0 : 1 : side * 1j]
    light = 0.96 + 0.1 * (1 - x) * (1 - y) + 0.008 * _cloud(side, (50, 50), rng)
    light = light + 0.1 * _window_light(side, rng)
    canvas = (wall * light[..., None]).astype(np.float32)
    canvas[horizon:] = _floor(side, horizon, rng)
    board = max(2, int(0.045 * side))
    canvas[horizon - board : horizon] = np.array((240, 238, 234)) * light[horizon - board : horizon, :, None] * 0.97
    canvas[horizon - board] *= 0.8
    canvas[horizon - 1 : horizon + 1] *= 0.72
    soft = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.003 * side))
    return np.asarray(soft, dtype=np.float32)


def _window_light(side: int, rng: np.random.Generator) -> np.ndarray:
    """Four slanted panes of light on the wall, (S, S) in 0..1."""
    sheet = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(sheet)
    left, top, slant = rng.uniform(0.05, 0.5), rng.uniform(0.02, 0.15), rng.uniform(0.05, 0.16)
    for row in range(2):
        for column in range(2):
            x, y = left + 0.2 * column, top + 0.2 * row
            corners = [(x, y), (x + 0.18, y + slant), (x + 0.18, y + slant + 0.18), (x, y + 0.18)]
            draw.polygon([(cx * side, cy * side) for cx, cy in corners], fill=255)
    return np.asarray(sheet.filter(ImageFilter.GaussianBlur(0.012 * side)), dtype=np.float32) / 255


def _table(side: int, rng: np.random.Generator) -> np.ndarray:
    """A wooden table top in front of a blurred room."""
    back = _interior(side, rng)
    edge = int(side * rng.uniform(0.62, 0.7))
    top = _tone(rng, (172, 124, 82), (206, 178, 142), (104, 76, 58), (224, 220, 214))
    grain = 1 + 0.05 * _grain(side, rng)
    depth = np.linspace(0.9, 1.07, side - edge)[:, None]
    back[edge:] = top * (grain[edge:] * depth)[..., None]
    return _soft_step(back, edge, side)


def _interior(side: int, rng: np.random.Generator) -> np.ndarray:
    """Shelves, pictures and a window, far out of focus."""
    wall = _tone(rng, (208, 200, 190), (176, 186, 190), (222, 212, 200), (148, 140, 136))
    sheet = Image.new("RGB", (side, side), tuple(int(c) for c in wall))
    draw = ImageDraw.Draw(sheet)
    for _ in range(int(rng.integers(9, 16))):
        x, y = rng.uniform(-0.05, 1.0) * side, rng.uniform(-0.05, 0.65) * side
        w, h = rng.uniform(0.05, 0.2) * side, rng.uniform(0.06, 0.32) * side
        tone = wall * rng.uniform(0.5, 1.2) + rng.normal(0, 22, 3)
        draw.rectangle((x, y, x + w, y + h), fill=tuple(int(c) for c in np.clip(tone, 20, 255)))
    return np.array(sheet.filter(ImageFilter.GaussianBlur(0.035 * side)), dtype=np.float32)


def _brick(side: int, rng: np.random.Generator) -> np.ndarray:
    """A brick wall above a concrete floor."""
    tone = _tone(rng, (168, 94, 72), (226, 222, 216), (148, 116, 98), (120, 122, 126))
    courses = int(rng.integers(11, 15))
    row = np.arange(side) / side * courses
    shift = 0.5 * (row.astype(int) % 2)
    column = np.arange(side)[None, :] / side * courses / 2.3 + shift[:, None]
    down, along = row % 1, column % 1
    mortar = (np.minimum(down, 1 - down)[:, None] < 0.07) | (np.minimum(along, 1 - along) < 0.03)
    each = rng.normal(1, 0.08, (40, 40))[row.astype(int)[:, None] % 40, column.astype(int) % 40]
    light = each * (1 + 0.04 * _cloud(side, (70, 70), rng)) * (1.05 - 0.14 * down[:, None])
    canvas = (tone * light[..., None]).astype(np.float32)
    canvas[mortar] = np.array((196, 190, 182)) * 0.95
    floor = int(side * rng.uniform(0.64, 0.7))
    depth = np.linspace(0.82, 1.04, side - floor)[:, None]
    canvas[floor:] = np.array((170, 168, 164)) * (depth * (1 + 0.03 * _cloud(side, (30, 30), rng)[floor:]))[..., None]
    canvas[floor - 1 : floor + 1] *= 0.7
    soft = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.004 * side))
    return np.asarray(soft, dtype=np.float32)


_SCENES = {
    "wood": _wood,
    "tiles": _tiles,
    "marble": _marble,
    "linen": _linen,
    "terrazzo": _terrazzo,
    "plaster": _plaster,
    "bokeh": _bokeh,
    "foliage": _foliage,
    "room": _room,
    "table": _table,
    "brick": _brick,
}


def cast_shadow(scene: np.ndarray, cover: np.ndarray, standing: bool, strength: float) -> np.ndarray:
    """The scene (Y, X, 3) with the product's soft shadow on it."""
    size = cover.shape[0]
    if standing:
        return scene * (1 - strength * _contact(cover, size))[..., None]
    soft = _soft(cover, 0.028 * size) * 0.75 + _soft(cover, 0.01 * size) * 0.35
    dy, dx = int(0.02 * size), int(0.012 * size)
    moved = np.pad(soft, ((dy, 0), (dx, 0)))[:size, :size]
    return scene * (1 - strength * np.clip(moved, 0, 1))[..., None]


def _contact(cover: np.ndarray, size: int) -> np.ndarray:
    """Shadow on the floor (Y, X): dark where the product touches it, fading to the right."""
    rows = np.flatnonzero(cover.max(axis=1) > 0.5)
    if len(rows) == 0:
        return np.zeros_like(cover)
    bottom = int(rows[-1])
    foot = cover[max(0, bottom - int(0.07 * size)) : bottom + 1].max(axis=0)
    y = np.arange(size)[:, None]
    near = foot[None, :] * np.exp(-(((y - bottom + 0.006 * size) / (0.016 * size)) ** 2))
    wide = cover[max(0, bottom - int(0.5 * size)) : bottom + 1].max(axis=0)
    wide = np.roll(wide, int(0.03 * size))
    far = wide[None, :] * np.exp(-(((y - bottom - 0.004 * size) / (0.035 * size)) ** 2))
    return np.clip(0.9 * _soft(near, 0.008 * size) + 0.5 * _soft(far, 0.03 * size), 0, 1)


def _soft(field: np.ndarray, radius_px: float) -> np.ndarray:
    sheet = Image.fromarray((np.clip(field, 0, 1) * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius_px))
    return np.asarray(sheet, dtype=np.float32) / 255
