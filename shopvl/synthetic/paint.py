"""Sketches (parts, seams, printed words as plain values) and the painter that shades them.

Every part is filled at four times the picture's size and averaged down, so edges are smooth. Light comes from one
height map per part: a rounded rim, folds and random wrinkles raise the surface, and what faces the lamp is brighter.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from shopvl.synthetic.fabric import Rgb, Stuff
from shopvl.synthetic.named import PartCovers, PartName
from shopvl.synthetic.outline import Path, Pose, spindle, trace
from shopvl.vision.overlays import TextBox, typeface

_FINE = 4  # polygons are filled at this multiple of the picture's size
_RIM_SHADE = 0.13  # how much darker a surface gets where it turns away at its outline
_LAMP = (0.55, 0.75)  # light comes from the upper left: how much a rise to the right and downwards counts


@dataclass(frozen=True)
class Fold:
    """A crease in the surface: a ridge where `height` is above zero, a groove below."""

    outline: np.ndarray  # (N, 2) product units
    height: float


@dataclass(frozen=True)
class Part:
    """One piece of a product."""

    outline: np.ndarray  # (N, 2) product units
    stuff: Stuff
    holes: tuple[np.ndarray, ...] = ()
    folds: tuple[Fold, ...] = ()
    drop: float = 0.25  # shadow this part throws on the parts below it
    light: float = 1.0  # below 1 for insides and backs
    of: int | None = None  # the number of the named part that it belongs to


@dataclass(frozen=True)
class DrawnLine:
    """A seam (dark), stitch (dashed) or thread on top of the parts; it never leaves the product."""

    points: np.ndarray  # (N, 2) product units
    width: float
    rgb: Rgb
    strength: float = 0.6
    dash: float = 0.0  # length of a stitch, 0 for an unbroken line


@dataclass(frozen=True)
class DrawnText:
    """Text printed on the product."""

    text: str
    centre: tuple[float, float]
    height: float
    max_width: float
    rgb: Rgb
    of: int | None = None


@dataclass
class Sketch:
    """A product before it is painted, back to front."""

    standing: bool = False  # stands on a floor; otherwise it lies or hangs
    may_flip: bool = True
    turn: float = 5.0  # degrees it may be turned by
    marks: list[Part | DrawnLine | DrawnText] = field(default_factory=list)
    names: list[PartName] = field(default_factory=list)  # of its parts that have any, by their numbers
    naming_now: int | None = None

    @contextmanager
    def naming(self, name: str, about: str = "", *, more: bool = False) -> Iterator[None]:
        """What is laid on meanwhile is one part, which shows the property `about`; `more` of the last of that name.

        Within another, it is not of that.
        """
        own = PartName(name, about)
        if not more:
            self.names.append(own)
        before = self.naming_now
        self.naming_now = len(self.names) - 1 - self.names[::-1].index(own)
        yield
        self.naming_now = before

    def part(
        self,
        path: Path,
        stuff: Stuff,
        *,
        holes: tuple[Path, ...] = (),
        folds: tuple[Fold, ...] = (),
        drop: float = 0.25,
        light: float = 1.0,
    ) -> None:
        """Lay a piece on top."""
        traced = tuple(trace(hole) for hole in holes)
        self.marks.append(Part(trace(path), stuff, traced, folds, drop, light, self.naming_now))

    def seam(self, path: Path, width: float = 0.006, strength: float = 0.35, rgb: Rgb = (20, 20, 24)) -> None:
        """A dark line along an open path."""
        self.marks.append(DrawnLine(trace(path, closed=False), width, rgb, strength))

    def stitch(self, path: Path, rgb: Rgb, width: float = 0.006, dash: float = 0.016, strength: float = 0.7) -> None:
        """A dashed line of thread."""
        self.marks.append(DrawnLine(trace(path, closed=False), width, rgb, strength, dash))

    def words(self, text: str, centre: tuple[float, float], height: float, max_width: float, rgb: Rgb) -> None:
        """Print text on what is there."""
        self.marks.append(DrawnText(text, centre, height, max_width, rgb, self.naming_now))

    def outline(self) -> np.ndarray:
        """All corners of all parts (N, 2)."""
        return np.concatenate([mark.outline for mark in self.marks if isinstance(mark, Part)])


def fold(start: tuple[float, float], end: tuple[float, float], width: float, height: float, bow: float = 0.0) -> Fold:
    """A crease from one point to another."""
    return Fold(spindle(start, end, width, bow), height)


class Painter:
    """A transparent sheet: premultiplied colour (Y, X, 3) and cover (Y, X), both float32."""

    def __init__(self, size_px: int, pose: Pose, rng: np.random.Generator) -> None:
        self.size_px, self.pose, self.rng = size_px, pose, rng
        self.colour = np.zeros((size_px, size_px, 3), dtype=np.float32)
        self.cover = np.zeros((size_px, size_px), dtype=np.float32)
        self.text_boxes: list[TextBox] = []
        self.parts = PartCovers((), size_px)
        self.noise_at = rng.integers(0, 256, 2)

    def paint(self, sketch: Sketch) -> None:
        """All marks, back to front."""
        self.parts = PartCovers(sketch.names, self.size_px)
        for mark in sketch.marks:
            match mark:
                case Part():
                    self._part(mark)
                case DrawnLine():
                    self._line(mark)
                case DrawnText():
                    self._words(mark)

    def _part(self, part: Part) -> None:
        px_per_unit = self.pose.px_per_unit
        corners = self.pose.pixels(part.outline)
        shadow_px = max(1.5, 0.022 * px_per_unit)
        window = self._window(corners, pad_px=2 + int(2 * max(shadow_px, part.stuff.feather * px_per_unit)))
        if window is None:
            return
        alpha = _filled([corners], [self.pose.pixels(h) for h in part.holes], window)
        if part.stuff.feather > 0:
            alpha = _blurred(alpha, part.stuff.feather * px_per_unit) * self.cover[window.slices]
        if part.drop > 0:
            self._shadow(alpha, window, shadow_px, part.drop)
        height = self._height(alpha, part, window)
        rise_x, rise_y = _slopes(height)
        slope = (_LAMP[0] * rise_x + _LAMP[1] * rise_y) * part.stuff.relief * 0.2 * px_per_unit
        light = (1 + 0.5 * np.tanh(2.0 * slope)) * (1 - _RIM_SHADE * np.clip(2 - 2 * height, 0, 1))
        alpha = alpha * (1 - part.stuff.clear)
        self._lay(self._surface(part, window, light, height), alpha, window)
        self.parts.lay(alpha, window.slices, part.of)

    def _surface(self, part: Part, window: "Window", light: np.ndarray, height: np.ndarray) -> np.ndarray:
        """The lit colours (y, x, 3) of a part."""
        stuff = part.stuff
        y_px, x_px = np.mgrid[window.y0 : window.y1, window.x0 : window.x1].astype(np.float32)
        u, v = self.pose.units(x_px, y_px)
        # a pattern bends where the cloth rises and falls
        bend = 0.028 * (height - 0.9)
        colours = stuff.cloth.at(u + bend, v + bend, 1 / self.pose.px_per_unit)
        if stuff.tube > 0:
            light = light * _tube(window.x1 - window.x0, stuff.tube)[None, :]
        light = light * part.light * self._grain(stuff.grain, u, v, window)
        lit = colours * light[..., None] + (26 * (light - 1))[..., None]
        if stuff.gloss > 0:
            lit = lit + (170 * stuff.gloss * np.clip((light - 1.06) * 3.2, 0, 1) ** 2)[..., None]
        return np.clip(lit, 3, 255)

    def _height(self, alpha: np.ndarray, part: Part, window: "Window") -> np.ndarray:
        """How far the surface stands out, in units of the rim's height."""
        stuff, scale = part.stuff, self.pose.px_per_unit
        height = _blurred(alpha, max(0.8, stuff.puff * scale))
        if part.folds:
            height = height + self._fold_height(part.folds, window)
        if stuff.wrinkle > 0:
            field = _wrinkles(self.size_px)
            y, x = self.noise_at * self.size_px // 256
            height = height + stuff.wrinkle * field[y + window.y0 : y + window.y1, x + window.x0 : x + window.x1]
        return height

    def _fold_height(self, folds: tuple[Fold, ...], window: "Window") -> np.ndarray:
        sheet = Image.new("L", (window.width * 2, window.height * 2), 128)
        draw = ImageDraw.Draw(sheet)
        for crease in folds:
            corners = (self.pose.pixels(crease.outline) - window.corner) * 2
            draw.polygon([tuple(c) for c in corners.tolist()], fill=int(128 + 110 * np.clip(crease.height, -1, 1)))
        soft = sheet.filter(ImageFilter.GaussianBlur(0.012 * self.pose.px_per_unit * 2)).reduce(2)
        return (np.asarray(soft, dtype=np.float32) - 128) / 128

    def _grain(self, grain: str, u: np.ndarray, v: np.ndarray, window: "Window") -> np.ndarray | float:
        """Brightness of the fine structure, around 1."""
        noise = _speckle(self.size_px)
        y, x = self.noise_at * self.size_px // 256
        patch = noise[y + window.y0 : y + window.y1, x + window.x0 : x + window.x1]
        match grain:
            case "weave":
                return 1 + 0.022 * patch
            case "knit":
                stitch = np.sin(2 * math.pi * (v / 0.03 + 0.35 * np.abs(((u / 0.034) % 1) - 0.5) * 2))
                return 1 + 0.07 * stitch * np.abs(np.cos(math.pi * u / 0.034)) + 0.03 * patch
            case "rib":
                return 1 + 0.1 * np.sin(2 * math.pi * u / 0.022) + 0.02 * patch
            case "twill":
                return 1 + 0.04 * patch + 0.03 * np.sin(2 * math.pi * (u + 0.6 * v) / 0.016)
            case "leather":
                blotch = _wrinkles(self.size_px)[y + window.y0 : y + window.y1, x + window.x0 : x + window.x1]
                return 1 + 0.02 * patch + 0.03 * blotch
            case "wood":
                rings = np.sin(70 * u + 9 * np.sin(3.1 * v + 2 * u) + 2 * patch)
                return 1 + 0.05 * rings + 0.03 * patch
            case _:
                return 1.0

    def _shadow(self, alpha: np.ndarray, window: "Window", radius_px: float, strength: float) -> None:
        """Darken what is already there around a part that is about to be laid on it."""
        soft = _blurred(alpha, radius_px)
        shift = max(1, round(radius_px * 0.5))
        soft = np.pad(soft, ((shift, 0), (shift // 2, 0)))[: soft.shape[0], : soft.shape[1]]
        self.colour[window.slices] *= (1 - strength * soft)[..., None]

    def _lay(self, colours: np.ndarray, alpha: np.ndarray, window: "Window") -> None:
        y, x = window.slices
        self.colour[y, x] += (colours - self.colour[y, x]) * alpha[..., None]
        # premultiplied: what was there is weakened, the new part added; same as above because colours are opaque
        self.cover[y, x] += (1 - self.cover[y, x]) * alpha

    def _line(self, line: DrawnLine) -> None:
        window = self._window(self.pose.pixels(line.points), pad_px=3 + int(line.width * self.pose.px_per_unit))
        if window is None:
            return
        sheet = Image.new("L", (window.width * _FINE, window.height * _FINE), 0)
        draw = ImageDraw.Draw(sheet)
        width_px = line.width * self.pose.px_per_unit * _FINE
        # a thread thinner than a pixel is drawn a pixel wide and fainter
        faint = min(1.0, width_px / _FINE + 0.25)
        pieces = _dashes(line.points, line.dash) if line.dash > 0 else [line.points]
        for piece in pieces:
            corners = (self.pose.pixels(piece) - window.corner) * _FINE
            draw.line([tuple(c) for c in corners.tolist()], fill=255, width=max(_FINE - 1, round(width_px)))
        alpha = _averaged(sheet) * self.cover[window.slices] * line.strength * faint
        y, x = window.slices
        self.colour[y, x] += (np.array(line.rgb, dtype=np.float32) - self.colour[y, x]) * alpha[..., None]

    def _words(self, words: DrawnText) -> None:
        """Printed text: turned with the product, never mirrored."""
        scale = self.pose.px_per_unit
        height_px = words.height * scale * 2
        face = typeface(max(6, round(height_px)), bold=True)
        left, top, right, bottom = face.getbbox(words.text)
        if right - left > words.max_width * scale * 2:
            face = typeface(max(6, int(face.size * words.max_width * scale * 2 / (right - left))), bold=True)
            left, top, right, bottom = face.getbbox(words.text)
        sheet = Image.new("L", (right - left + 4, bottom - top + 4), 0)
        ImageDraw.Draw(sheet).text((2 - left, 2 - top), words.text, fill=255, font=face)
        turned = sheet.rotate(-self.pose.degrees, Image.Resampling.BICUBIC, expand=True)
        full = Image.new("L", (self.size_px * 2, self.size_px * 2), 0)
        centre = self.pose.pixels(np.array([words.centre]))[0] * 2
        full.paste(turned, (round(centre[0] - turned.width / 2), round(centre[1] - turned.height / 2)))
        alpha = _averaged(full, 2) * self.cover
        where = np.argwhere(alpha > 0.02)
        if len(where) == 0:
            return
        self.colour += (np.array(words.rgb, dtype=np.float32) - self.colour) * (0.92 * alpha)[..., None]
        if words.of is not None:
            self.parts.print(alpha, (slice(None), slice(None)), words.of)
        (y0, x0), (y1, x1) = where.min(axis=0) / self.size_px, (where.max(axis=0) + 1) / self.size_px
        self.text_boxes.append(TextBox(float(x0), float(y0), float(x1), float(y1), words.text, "product"))

    def _window(self, corners: np.ndarray, pad_px: int) -> "Window | None":
        x0, y0 = np.floor(corners.min(axis=0)).astype(int) - pad_px
        x1, y1 = np.ceil(corners.max(axis=0)).astype(int) + pad_px
        window = Window(max(0, int(x0)), max(0, int(y0)), min(self.size_px, int(x1)), min(self.size_px, int(y1)))
        return window if window.width > 0 and window.height > 0 else None


@dataclass(frozen=True)
class Window:
    """The rectangle of pixels one mark touches."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        """Pixels down."""
        return self.y1 - self.y0

    @property
    def corner(self) -> np.ndarray:
        """Upper left corner (x, y)."""
        return np.array([self.x0, self.y0])

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)


def _filled(shapes: list[np.ndarray], holes: list[np.ndarray], window: Window) -> np.ndarray:
    """Cover (y, x) in 0..1 of polygons with holes."""
    sheet = Image.new("L", (window.width * _FINE, window.height * _FINE), 0)
    draw = ImageDraw.Draw(sheet)
    for corners, fill in [*((s, 255) for s in shapes), *((h, 0) for h in holes)]:
        draw.polygon([tuple(c) for c in ((corners - window.corner) * _FINE).tolist()], fill=fill)
    return _averaged(sheet)


def _averaged(sheet: Image.Image, factor: int = _FINE) -> np.ndarray:
    return np.asarray(sheet.reduce(factor), dtype=np.float32) / 255


def _blurred(field: np.ndarray, radius_px: float) -> np.ndarray:
    """A field in 0..1 made soft."""
    sheet = Image.fromarray((field * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius_px))
    return np.asarray(sheet, dtype=np.float32) / 255


def _slopes(height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rise to the right and downwards per pixel, over a few pixels because heights come in 255 steps."""
    padded = np.pad(height, 2, mode="edge")
    return (padded[2:-2, 4:] - padded[2:-2, :-4]) / 4, (padded[4:, 2:-2] - padded[:-4, 2:-2]) / 4


def _tube(width_px: int, strength: float) -> np.ndarray:
    """Light across an upright cylinder: brightest left of the middle, darkest at the right edge."""
    t = np.linspace(0, 1, width_px, dtype=np.float32)
    profile = 1.0 + 0.24 * np.exp(-(((t - 0.3) / 0.22) ** 2)) - 0.34 * t**3 - 0.16 * (1 - t) ** 8
    return 1 + strength * (profile - 1)


def _dashes(points: np.ndarray, dash: float) -> list[np.ndarray]:
    """A polyline cut into stitches with gaps of about two thirds of a stitch."""
    lengths = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    starts = np.arange(0, lengths[-1], dash * 1.65)
    ends = np.minimum(starts + dash, lengths[-1])
    x, y = points.T
    pairs = [(np.interp([a, b], lengths, x), np.interp([a, b], lengths, y)) for a, b in zip(starts, ends, strict=True)]
    return [np.stack(pair, axis=1) for pair in pairs]


@lru_cache(maxsize=8)
def _wrinkles(size_px: int) -> np.ndarray:
    """Soft cloth-like unevenness (2 * size, 2 * size) around zero, drawn once per picture size."""
    rng = np.random.default_rng(20)
    side = 2 * size_px
    field = np.zeros((side, side), dtype=np.float32)
    for cells, weight, stretch in ((7, 1.0, 1.0), (13, 0.7, 1.6), (25, 0.4, 2.0)):
        coarse = rng.normal(size=(int(cells * stretch), cells)).astype(np.float32)
        turned = Image.fromarray(coarse).resize((int(side * 1.45),) * 2, Image.Resampling.BICUBIC)
        turned = turned.rotate(rng.uniform(-35, 35), Image.Resampling.BILINEAR)
        cut = int(side * 0.225)
        field += weight * np.asarray(turned)[cut : cut + side, cut : cut + side]
    return field / float(field.std())


@lru_cache(maxsize=8)
def _speckle(size_px: int) -> np.ndarray:
    """Fine noise (2 * size, 2 * size) around zero."""
    rng = np.random.default_rng(21)
    return rng.normal(size=(2 * size_px, 2 * size_px)).astype(np.float32)


def thinner(stuff: Stuff, puff: float = 0.015) -> Stuff:
    """The same material on a small part: a narrower rim."""
    return replace(stuff, puff=puff, wrinkle=0.0)
