"""Pictures printed on shirts, cushions and mugs."""

import numpy as np

from shopvl.synthetic.fabric import Rgb, Stuff, plain
from shopvl.synthetic.looks import Look
from shopvl.synthetic.outline import Path, moved, oval
from shopvl.synthetic.paint import Sketch


def motif(sketch: Sketch, look: Look, centre: tuple[float, float], size: float, rng: np.random.Generator) -> None:
    """One of a few prints, about `2 * size` across."""
    motifs = (_sunset, _mountains, _star, _leaf, _cat, _wave)
    with sketch.naming("print", "Pattern"):
        motifs[int(rng.integers(len(motifs)))](sketch, look, centre, size)


def _ink(rgb: Rgb) -> Stuff:
    """A screen print: flat, lets a little of the cloth through."""
    return Stuff(plain(rgb), puff=0.004, relief=0.05, clear=0.08, grain="weave")


def _print(sketch: Sketch, path: Path, centre: tuple[float, float], size: float, rgb: Rgb) -> None:
    sketch.part(moved(path, *centre, scale=size), _ink(rgb), drop=0)


def _sunset(sketch: Sketch, look: Look, centre: tuple[float, float], size: float) -> None:
    _print(sketch, oval(0, 0, 0.9, 0.9), centre, size, look.figure)
    for y, width in ((0.2, 0.07), (0.42, 0.1), (0.64, 0.13)):
        _print(sketch, [(-1, y), (1, y), (1, y + width), (-1, y + width)], centre, size, look.ground)


def _mountains(sketch: Sketch, look: Look, centre: tuple[float, float], size: float) -> None:
    _print(sketch, oval(0.4, -0.5, 0.24, 0.24), centre, size, look.accent)
    _print(sketch, [(-1, 0.6), (-0.3, -0.5), (0.1, 0.05), (0.4, -0.2), (1, 0.6)], centre, size, look.figure)
    _print(
        sketch, [(-0.3, -0.5), (-0.47, -0.22), (-0.32, -0.28), (-0.22, -0.15), (-0.1, -0.22)], centre, size, look.ground
    )


def _star(sketch: Sketch, look: Look, centre: tuple[float, float], size: float) -> None:
    turns = np.arange(10) * np.pi / 5 - np.pi / 2
    reach = np.where(np.arange(10) % 2 == 0, 1.0, 0.42)
    corners = [(float(r * np.cos(t)), float(r * np.sin(t))) for t, r in zip(turns, reach, strict=True)]
    _print(sketch, corners, centre, size, look.figure)
    _print(sketch, corners, centre, size * 0.55, look.accent)


def _leaf(sketch: Sketch, look: Look, centre: tuple[float, float], size: float) -> None:
    for x, lean in ((-0.5, -0.5), (0.0, 0.0), (0.5, 0.5)):
        blade: Path = [(x * 0.2, 0.8), (x - 0.3, 0.0, 1), (x + lean * 0.6, -0.9), (x + 0.3, 0.0, 1)]
        _print(sketch, blade, centre, size, look.figure if x else look.accent)


def _cat(sketch: Sketch, look: Look, centre: tuple[float, float], size: float) -> None:
    head: Path = [
        (-0.75, -0.8),
        (-0.35, -0.5),
        (0.35, -0.5),
        (0.75, -0.8),
        (0.85, 0.2, 1),
        (0.5, 0.75, 1),
        (-0.5, 0.75, 1),
        (-0.85, 0.2, 1),
    ]
    _print(sketch, head, centre, size, look.figure)
    for x in (-0.32, 0.32):
        _print(sketch, oval(x, -0.02, 0.12, 0.16), centre, size, look.ground)
    _print(sketch, [(-0.1, 0.22), (0.1, 0.22), (0, 0.34)], centre, size, look.accent)


def _wave(sketch: Sketch, look: Look, centre: tuple[float, float], size: float) -> None:
    for y, rgb in ((-0.5, look.figure), (0.0, look.accent), (0.5, look.figure)):
        crest: Path = [(-1, y), (-0.6, y - 0.4, 1), (-0.2, y, 1), (0.2, y + 0.4, 1), (0.6, y, 1), (1, y - 0.1)]
        _print(sketch, [*crest, *moved(crest, dy=0.22)[::-1]], centre, size, rgb)
