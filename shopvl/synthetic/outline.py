"""Outlines in product units (x right, y down; a shirt is about one unit tall) and their way into a picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Knot = tuple[float, float] | tuple[float, float, int]
Path = Sequence[Knot]

_STEPS = 7  # straight pieces per curve: at 224 px a piece is about two pixels long


def trace(path: Path, closed: bool = True) -> np.ndarray:
    """The polygon (N, 2) of a path written as in TrueType: `(x, y)` is a corner, `(x, y, 1)` pulls the curve.

    Two pulling knots in a row have an implied point halfway between them.
    """
    knots = _with_halfway_points(path, closed)
    points: list[tuple[float, float]] = []
    for i, knot in enumerate(knots):
        if len(knot) == 2:
            points.append((knot[0], knot[1]))
            continue
        before, after = knots[i - 1], knots[(i + 1) % len(knots)]
        for step in range(1, _STEPS):
            t = step / _STEPS
            a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t * t
            points.append((a * before[0] + b * knot[0] + c * after[0], a * before[1] + b * knot[1] + c * after[1]))
    return np.array(points, dtype=np.float64)


def _with_halfway_points(path: Path, closed: bool) -> list[Knot]:
    """The path with a corner between any two pulling knots, started at a corner."""
    knots: list[Knot] = []
    pairs = zip(path, [*path[1:], path[0]], strict=True)
    for i, (here, there) in enumerate(pairs):
        knots.append(here)
        if len(here) == 3 and len(there) == 3 and (closed or i < len(path) - 1):
            knots.append(((here[0] + there[0]) / 2, (here[1] + there[1]) / 2))
    if closed and len(knots[0]) == 3:
        knots = [*knots[1:], knots[0]]
    return knots


def mirrored(half: Path) -> list[Knot]:
    """A closed outline from its right half, listed from top to bottom; the axis is x = 0."""
    return [*half, *((-knot[0], *knot[1:]) for knot in reversed(half) if abs(knot[0]) > 1e-9)]


def flipped(path: Path) -> list[Knot]:
    """The same path on the other side of x = 0."""
    return [(-knot[0], *knot[1:]) for knot in path]


def moved(path: Path, dx: float = 0.0, dy: float = 0.0, scale: float = 1.0) -> list[Knot]:
    """The path scaled about the origin, then moved."""
    return [(knot[0] * scale + dx, knot[1] * scale + dy, *knot[2:]) for knot in path]


def oval(x: float, y: float, rx: float, ry: float, start: float = 0.0, end: float = 360.0) -> list[Knot]:
    """An ellipse, or an arc of it; degrees run clockwise from three o'clock."""
    turns = np.radians(np.linspace(start, end, 33))
    return [(x + rx * math.cos(t), y + ry * math.sin(t)) for t in turns]


def box(x0: float, y0: float, x1: float, y1: float, corner: float = 0.0) -> list[Knot]:
    """A rectangle with rounded corners."""
    if corner <= 0:
        return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    c = min(corner, (x1 - x0) / 2, (y1 - y0) / 2)
    return [
        *((x0 + c, y0), (x1 - c, y0), (x1, y0, 1), (x1, y0 + c), (x1, y1 - c), (x1, y1, 1)),
        *((x1 - c, y1), (x0 + c, y1), (x0, y1, 1), (x0, y1 - c), (x0, y0 + c), (x0, y0, 1)),
    ]


def band(path: Path, width: float, end_width: float | None = None) -> list[Knot]:
    """A strip of the given width along an open path: straps, handles, hems."""
    spine = trace(path, closed=False)
    along = np.gradient(spine, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    half = np.linspace(width, width if end_width is None else end_width, len(spine))[:, None] / 2
    edge = np.concatenate([spine + across * half, (spine - across * half)[::-1]])
    return [(float(x), float(y)) for x, y in edge]


def spindle(start: tuple[float, float], end: tuple[float, float], width: float, bow: float = 0.0) -> np.ndarray:
    """A thin shape pointed at both ends, bent by `bow` of its length: the outline of a crease (N, 2)."""
    a, b = np.array(start), np.array(end)
    t = np.linspace(0, 1, 9)[:, None]
    normal = np.array([-(b - a)[1], (b - a)[0]])
    spine = a + (b - a) * t + normal * bow * np.sin(math.pi * t)
    unit = normal / max(float(np.hypot(*normal)), 1e-9)
    half = np.sin(math.pi * t) * width / 2
    return np.concatenate([spine + unit * half, (spine - unit * half)[::-1]])


@dataclass(frozen=True)
class Pose:
    """How product units fall on picture pixels: an affine map and a slight, smooth unevenness."""

    matrix: np.ndarray  # (2, 2) pixels per unit
    shift: np.ndarray  # (2,) pixels
    sway: tuple[float, float, float]  # strength in units, and two phases

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Product points (N, 2) in pixels."""
        strength, phase_x, phase_y = self.sway
        x, y = points[:, 0], points[:, 1]
        bent = np.stack([x + strength * np.sin(3.1 * y + phase_x), y + strength * np.sin(3.7 * x + phase_y)], axis=1)
        return bent @ self.matrix.T + self.shift

    def units(self, x_px: np.ndarray, y_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where pixels lie on the product, unevenness left out."""
        inverse = np.linalg.inv(self.matrix)
        dx, dy = x_px - self.shift[0], y_px - self.shift[1]
        return inverse[0, 0] * dx + inverse[0, 1] * dy, inverse[1, 0] * dx + inverse[1, 1] * dy

    @property
    def px_per_unit(self) -> float:
        """Mean scale."""
        return math.sqrt(abs(float(np.linalg.det(self.matrix))))

    @property
    def degrees(self) -> float:
        """Clockwise turn of a line that runs to the right (a mirrored product's text stays readable)."""
        direction = self.matrix[:, 0] * (1 if np.linalg.det(self.matrix) > 0 else -1)
        return math.degrees(math.atan2(direction[1], direction[0]))


def pose_for(outline: np.ndarray, size_px: int, rng: np.random.Generator, turn: float, may_flip: bool) -> Pose:
    """A pose that fills most of a square picture with the outline (N, 2), turned by up to `turn` degrees."""
    angle = math.radians(float(np.clip(rng.normal(0, turn / 2), -turn, turn)))
    stretch = 1 + rng.uniform(-0.05, 0.05)
    mirror = -1.0 if may_flip and rng.random() < 0.5 else 1.0
    cos, sin = math.cos(angle), math.sin(angle)
    turned = np.array([[cos, -sin], [sin, cos]]) @ np.diag([mirror * stretch, 1 / stretch])
    spread = outline @ turned.T
    low, high = spread.min(axis=0), spread.max(axis=0)
    fill = rng.uniform(0.74, 0.9)
    scale = fill * size_px / float((high - low).max())
    slack = (size_px - scale * (high - low)) / 2
    offset = rng.uniform(-0.45, 0.45, 2) * np.minimum(slack, 0.1 * size_px)
    shift = np.full(2, size_px / 2) - scale * (low + high) / 2 + offset
    sway = (float(rng.uniform(0.002, 0.008)), float(rng.uniform(0, 6.3)), float(rng.uniform(0, 6.3)))
    return Pose(turned * scale, shift, sway)
