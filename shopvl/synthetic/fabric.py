"""Patterns and materials: the colour of a surface at every point of the product, before light falls on it."""

from dataclasses import dataclass

import numpy as np

Rgb = tuple[float, float, float]


def shade(rgb: Rgb, factor: float) -> Rgb:
    """Darker (below 1) or lighter (above 1), kept inside 0..255."""
    return (min(rgb[0] * factor, 255.0), min(rgb[1] * factor, 255.0), min(rgb[2] * factor, 255.0))


def mix(first: Rgb, second: Rgb, share: float) -> Rgb:
    """`share` of the second colour in the first."""
    a, b = np.array(first), np.array(second)
    r, g, bl = (a + (b - a) * share).tolist()
    return (r, g, bl)


def luminance(rgb: Rgb) -> float:
    """Perceived brightness, 0..255."""
    return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]


@dataclass(frozen=True)
class Cloth:
    """A pattern in two or three colours. Lengths are in product units."""

    pattern: str
    colours: tuple[Rgb, Rgb, Rgb]  # ground, figure, accent
    pitch: float = 0.1  # distance from one repeat to the next
    degrees: float = 0.0
    seed: int = 0
    block: float = 0.3  # a colour-blocked product has its second colour above this height

    def at(self, u: np.ndarray, v: np.ndarray, px: float) -> np.ndarray:
        """Colours (Y, X, 3) at product points; `px` is the size of a pixel, for soft edges."""
        turn = np.radians(self.degrees)
        along, across = np.cos(turn) * u + np.sin(turn) * v, -np.sin(turn) * u + np.cos(turn) * v
        ground, figure, accent = (np.array(c, dtype=np.float32) for c in self.colours)
        match self.pattern:
            case "Striped":
                return _blend(ground, figure, self._lines(across, 0.4, px))
            case "Checked":
                return self._checks(along, across, px, ground, figure, accent)
            case "Polka Dots":
                return _blend(ground, figure, self._dots(along, across, px))
            case "Floral":
                return self._flowers(u, v, px, ground, figure, accent)
            case "Colour Block":
                blocked = _blend(ground, figure, _step(self.block - across, px))
                return blocked + (accent - blocked) * self._thin_line(across, px)[..., None]
            case _:
                return np.broadcast_to(ground, (*u.shape, 3))

    def _lines(self, w: np.ndarray, share: float, px: float) -> np.ndarray:
        """Cover in 0..1 of lines that take `share` of the pitch."""
        phase = np.abs(((w / self.pitch + self.seed % 97 / 97) % 1.0) - 0.5) * self.pitch
        return _step(share * self.pitch / 2 - phase, px)

    def _thin_line(self, w: np.ndarray, px: float) -> np.ndarray:
        return _step(0.012 - np.abs(w - self.block), px)

    def _checks(
        self, a: np.ndarray, b: np.ndarray, px: float, ground: np.ndarray, figure: np.ndarray, accent: np.ndarray
    ) -> np.ndarray:
        """Crossing bands that add up where they meet, with a thin line of the accent between them."""
        bands = 0.42 * (self._lines(a, 0.36, px) + self._lines(b, 0.36, px))
        thin = np.maximum(self._lines(a + self.pitch / 2, 0.08, px), self._lines(b + self.pitch / 2, 0.08, px))
        colours = _blend(ground, figure, bands)
        return colours + (accent - colours) * (0.7 * thin)[..., None]

    def _dots(self, a: np.ndarray, b: np.ndarray, px: float) -> np.ndarray:
        row = np.floor(b / self.pitch)
        da = ((a / self.pitch + 0.5 * (row % 2)) % 1.0 - 0.5) * self.pitch
        db = ((b / self.pitch) % 1.0 - 0.5) * self.pitch
        return _step(0.27 * self.pitch - np.hypot(da, db), px)

    def _flowers(
        self, u: np.ndarray, v: np.ndarray, px: float, ground: np.ndarray, figure: np.ndarray, accent: np.ndarray
    ) -> np.ndarray:
        """One flower per cell at a jittered place, five petals, a leaf beside it."""
        chance = np.random.default_rng(self.seed).random((6, 31, 31), dtype=np.float32)
        pitch = self.pitch * 1.25
        row, column = np.floor(v / pitch).astype(int), np.floor(u / pitch).astype(int)
        jitter_x, jitter_y, radius, turn, kind, side = chance[:, row % 31, column % 31]
        dx = u - (column + 0.36 + 0.28 * jitter_x) * pitch
        dy = v - (row + 0.36 + 0.28 * jitter_y) * pitch
        reach = np.hypot(dx, dy)
        angle = np.arctan2(dy, dx)
        size = pitch * (0.2 + 0.15 * radius)
        petals = _step(size * (0.62 + 0.38 * np.abs(np.cos(2.5 * (angle + 6.3 * turn)))) - reach, px)
        leaf_angle = 6.3 * side
        leaf_x, leaf_y = dx - np.cos(leaf_angle) * size * 1.15, dy - np.sin(leaf_angle) * size * 1.15
        along = leaf_x * np.cos(leaf_angle) + leaf_y * np.sin(leaf_angle)
        aside = -leaf_x * np.sin(leaf_angle) + leaf_y * np.cos(leaf_angle)
        leaf = _step(size * 0.3 - np.hypot(along * 0.55, aside * 1.5), px)
        green = np.array((92, 132, 84), dtype=np.float32)
        colours = _blend(ground, green, leaf * 0.85)
        flower = np.where((kind > 0.62)[..., None], accent, figure)
        flower = flower * (0.82 + 0.3 * np.clip(reach / size, 0, 1))[..., None]
        colours = colours + (flower - colours) * petals[..., None]
        heart = np.array((240, 200, 80), dtype=np.float32)
        return colours + (heart - colours) * _step(size * 0.24 - reach, px)[..., None]


def _blend(first: np.ndarray, second: np.ndarray, cover: np.ndarray) -> np.ndarray:
    return first + (second - first) * cover[..., None]


def _step(distance: np.ndarray, px: float) -> np.ndarray:
    """1 inside (distance above zero), 0 outside, a ramp one pixel wide between."""
    return np.clip(distance / px + 0.5, 0, 1).astype(np.float32)


@dataclass(frozen=True)
class Stuff:
    """What a part is made of and how light plays on it. Lengths are in product units."""

    cloth: Cloth
    puff: float = 0.05  # width of the rounded rim
    relief: float = 0.5  # how strongly rim, folds and wrinkles catch the light
    wrinkle: float = 0.0  # soft random unevenness
    gloss: float = 0.0  # 0 cotton, 1 polished metal
    tube: float = 0.0  # shading of an upright cylinder
    grain: str = "none"  # none, weave, knit, rib, twill, leather, wood
    clear: float = 0.0  # share of what lies behind that shines through
    feather: float = 0.0  # width over which the edge fades, for washes and glows


def plain(rgb: Rgb) -> Cloth:
    """One colour."""
    return Cloth("Solid", (rgb, rgb, rgb))
