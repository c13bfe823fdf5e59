"""How one item looks: its colours, pattern and visible traits, and the materials made from them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from shopvl.synthetic.fabric import Cloth, Rgb, Stuff, luminance, mix, plain, shade

METAL: Rgb = (176, 178, 184)
BRASS: Rgb = (206, 170, 96)
RUBBER: Rgb = (232, 230, 224)
INK: Rgb = (40, 40, 46)


@dataclass(frozen=True)
class Look:
    """What the drawing of an item is made from."""

    ground: Rgb
    figure: Rgb
    accent: Rgb
    pattern: str
    traits: Mapping[str, str]
    printed: str  # the brand printed on the product, or nothing
    seed: int

    def trait(self, name: str, default: str = "") -> str:
        """The value of a visible property."""
        return self.traits.get(name, default)

    def cloth(self, pitch: float = 0.1, degrees: float = 0.0, block: float = 0.3) -> Cloth:
        """The item's pattern in its own colours."""
        return Cloth(self.pattern, (self.ground, self.figure, self.accent), pitch, degrees, self.seed, block)

    @property
    def plain(self) -> Cloth:
        """The item's colour without its pattern."""
        return plain(self.ground)

    @property
    def dark(self) -> bool:
        """Whether details have to be light to be seen."""
        return luminance(self.ground) < 90

    def trim(self, strength: float = 0.16) -> Rgb:
        """The item's colour a little darker, or lighter where it is nearly black: ribs, bindings, straps."""
        if luminance(self.ground) < 60:
            return mix(self.ground, (255, 255, 255), strength * 0.7)
        return shade(self.ground, 1 - strength)

    def thread(self) -> Rgb:
        """Stitches that can be seen on the item."""
        return mix(self.ground, (255, 255, 255), 0.4) if self.dark else shade(self.ground, 0.55)


def knitwear(cloth: Cloth, wrinkle: float = 0.17) -> Stuff:
    """Jersey: soft, with broad wrinkles."""
    return Stuff(cloth, puff=0.055, relief=0.33, wrinkle=wrinkle, grain="weave")


def woven(cloth: Cloth, wrinkle: float = 0.18) -> Stuff:
    """Shirt cotton, a little crisper."""
    return Stuff(cloth, puff=0.04, relief=0.36, wrinkle=wrinkle, grain="weave")


def patch() -> Stuff:
    """A small label of tan leather."""
    return Stuff(plain((164, 118, 78)), puff=0.006, relief=0.2, grain="leather")


def leather(cloth: Cloth, puff: float = 0.035) -> Stuff:
    """Smooth leather with a sheen."""
    return Stuff(cloth, puff=puff, relief=0.4, wrinkle=0.03, gloss=0.35, grain="leather")


def metal(rgb: Rgb = METAL, puff: float = 0.012) -> Stuff:
    """Polished metal."""
    return Stuff(plain(rgb), puff=puff, relief=0.35, gloss=1.0)


def rubber(rgb: Rgb = RUBBER, puff: float = 0.02) -> Stuff:
    """Soles and grips."""
    return Stuff(plain(rgb), puff=puff, relief=0.3)


def glaze(cloth: Cloth, tube: float = 0.9) -> Stuff:
    """Glazed ceramic turned on a wheel."""
    return Stuff(cloth, puff=0.02, relief=0.12, gloss=0.5, tube=tube)


def timber(rgb: Rgb) -> Stuff:
    """Varnished wood."""
    return Stuff(plain(rgb), puff=0.015, relief=0.25, grain="wood", gloss=0.15)


def spread(rng: np.random.Generator, low: float, high: float) -> float:
    """A random measure."""
    return float(rng.uniform(low, high))
