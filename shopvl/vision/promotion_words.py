"""What shops write on pictures, in eight languages, and the fonts that it can be written in."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

from shopvl.vision.overlays import CLAIMS, FONTS, SLOGANS

_SIGNS = ("LastResort", "cmex", "cmmi", "cmsy")  # fonts of signs and boxes that call themselves letters
_SMALLEST_PX, _SIZE_STEP = 5, 1.15

BUNDLED = (FONTS / "ShopSans-Bold.otf", FONTS / "ShopSans-Regular.otf")

# every letter is in the bundled fonts, so words without accents only
LATIN_SLOGANS = (
    *("NEU", "SALE", "AUSVERKAUF", "Nur heute", "Gratis Versand", "SONDERPREIS", "Jetzt sparen", "TOP ANGEBOT"),
    *("SOLDES", "PROMO", "Livraison gratuite", "Dernier jour", "NOUVEAU", "Prix choc", "2 pour 1", "Bon plan"),
    *("REBAJAS", "OFERTA", "NUEVO", "Gratis", "Solo hoy", "Compra ya", "Liquidacion", "Precio especial"),
    *("SALDI", "SCONTO", "NOVITA", "Solo oggi", "Spedizione gratis", "Prezzo basso", "Ultimi pezzi"),
    *("PROMO", "NOVO", "Frete gratis", "Oferta do dia", "Queima total", "Leve 3 pague 2", "IMPERDIVEL"),
    *("KORTING", "NIEUW", "UITVERKOOP", "Gratis verzending", "Op=op", "Actie", "Nu kopen", "Laatste kans"),
    *("Deal of the Day", "SAVE BIG", "Shop now", "Black Friday", "Mega Sale", "Exclusive", "Top Choice", "A+ quality"),
)
LATIN_CLAIMS = (
    *("ROT", "BLAU", "GRUEN", "GELB", "SCHWARZ", "WEISS", "ROUGE", "BLEU", "VERT", "JAUNE", "NOIR", "BLANC"),
    *("ROJO", "AZUL", "VERDE", "NEGRO", "BLANCO", "ROSSO", "NERO", "BIANCO", "GIALLO", "PRETO", "AMARELO"),
    *("ROOD", "BLAUW", "GROEN", "ZWART", "Navy Blue", "Beige", "Gold", "Silver", "Maroon", "Olive", "Cream"),
    # what the product is not, as often as not
    *("SHOES", "Handbag", "T-Shirt", "Watch", "JEANS", "Kleid", "SCHUHE", "Chaussures", "Camisa", "Borsa", "Sieraden"),
    *("for Men", "WOMEN", "KIDS", "Damen", "Herren", "Femme", "Hombre", "100% Cotton", "Real leather", "SILK"),
)


def slogan(rng: random.Random) -> str:
    """A few words that praise, in any language."""
    chinese_or_english = SLOGANS["zh" if rng.random() < 0.5 else "en"]
    return rng.choice(LATIN_SLOGANS if rng.random() < 0.55 else chinese_or_english)


def claim(rng: random.Random) -> str:
    """A colour, a kind of goods, an audience or a material, true or not."""
    if rng.random() < 0.5:
        return rng.choice(rng.choice(CLAIMS)[1:])
    return rng.choice(LATIN_CLAIMS)


def saving(rng: random.Random) -> str:
    """A percentage or an amount off."""
    percent = rng.randrange(5, 95, 5)
    forms = (f"-{percent}%", f"{percent}% OFF", f"{percent}%", f"SALE -{percent}%", f"{10 - percent // 10}折")
    return rng.choice(forms)


def price(rng: random.Random, amount: float) -> str:
    """An amount of money as one country or another writes it."""
    whole, cents = int(amount), rng.choice((0, 49, 90, 95, 99))
    forms = (f"${whole}.{cents:02}", f"{whole},{cents:02} €", f"£{whole}", f"¥{whole}", f"EUR {whole},-", f"R$ {whole}")
    return rng.choice(forms)


def words(rng: random.Random) -> str:
    """Anything of these."""
    chance = rng.random()
    if chance < 0.45:
        return claim(rng)
    if chance < 0.65:
        return saving(rng)
    return price(rng, rng.uniform(5, 400)) if chance < 0.75 else slogan(rng)


@lru_cache(maxsize=1)
def font_files() -> tuple[Path, ...]:
    """The bundled fonts, those of matplotlib if it is installed, and those of the machine.

    Pillow's own font is none of them: promotions to measure on are written in it.
    """
    found = list(BUNDLED)
    plotting = find_spec("matplotlib")
    if plotting is not None and plotting.origin is not None:
        found += sorted((Path(plotting.origin).parent / "mpl-data" / "fonts" / "ttf").glob("*.ttf"))
    places = ["/usr/share/fonts", "/usr/local/share/fonts"]
    places += {"darwin": ["/Library/Fonts"], "win32": ["C:/Windows/Fonts"]}.get(sys.platform, [])
    for place in places:
        found += sorted(path for end in ("ttf", "otf", "ttc") for path in Path(place).rglob(f"*.{end}"))
    by_name = {path.name: path for path in reversed(found)}  # matplotlib and the machine may both have one
    usable = (path for path in by_name.values() if not path.name.startswith(_SIGNS))
    return tuple(sorted(path for path in usable if can_write(path, "SALE now -50%")))


def face(path: Path, size_px: float) -> ImageFont.FreeTypeFont:
    """A font at the next smaller of some sizes: opening one takes longer than writing a word with it."""
    step = max(0, math.floor(math.log(max(size_px, _SMALLEST_PX) / _SMALLEST_PX, _SIZE_STEP) + 1e-9))
    return _opened(path, round(_SMALLEST_PX * _SIZE_STEP**step))


@lru_cache(maxsize=640)
def _opened(path: Path, size_px: int) -> ImageFont.FreeTypeFont:
    # the simple layout engine, because not every machine has the other
    return ImageFont.truetype(str(path), size_px, layout_engine=ImageFont.Layout.BASIC)


def can_write(path: Path, text: str) -> bool:
    """Whether the font opens and has a letter, not an empty box, for every character."""
    return all(_has(path, letter) for letter in text if not letter.isspace())


@lru_cache(maxsize=65536)
def _has(path: Path, letter: str) -> bool:
    try:
        font = _opened(path, 16)
        drawn = bytes(font.getmask(letter))
    except OSError:
        return False
    return any(drawn) and drawn != bytes(font.getmask("\U0010fffd"))


def font_for(text: str, rng: random.Random, fonts: Sequence[Path]) -> Path:
    """One of the fonts, the bundled one if that cannot write the text."""
    chosen = rng.choice(fonts)
    return chosen if can_write(chosen, text) else rng.choice(BUNDLED)
