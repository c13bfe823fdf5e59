"""Shop promotions drawn on photos: prices, badges, banners, ribbons, frames, watermarks, in English and Chinese.

Used to make training pictures whose words and their places are known, and to test that a model is not distracted by
them. Letters come from the two fonts in `fonts/`, so a picture is the same on every machine.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

FONTS = Path(__file__).parent / "fonts"

LANGUAGES = ("en", "zh")

SLOGANS: dict[str, tuple[str, ...]] = {
    "en": (
        *("FREE SHIPPING", "SALE", "NEW", "HOT", "BEST SELLER", "LIMITED TIME", "BUY 1 GET 1", "NEW ARRIVAL"),
        *("TODAY ONLY", "CLEARANCE", "FLASH SALE", "TOP RATED", "IN STOCK", "24H DELIVERY", "Easy returns"),
        *("Last chance!", "Free returns", "Gift ready", "Member price", "Extra 10% off", "2 FOR 1", "ONLINE ONLY"),
    ),
    "zh": (
        *("包邮", "限时特价", "新品上市", "爆款", "买一送一", "正品保证", "七天无理由退换", "领券立减", "店铺热卖"),
        *("官方旗舰店", "全场五折", "今日特惠", "清仓", "秒杀", "顺丰包邮", "人气推荐", "满199减100", "年度好物"),
        *("质量保证", "品质之选", "会员专享", "现货速发", "厂家直销", "送运费险"),
    ),
}
_BADGES: dict[str, tuple[str, ...]] = {
    "en": ("SALE", "NEW", "HOT", "TOP", "2 FOR 1", "BEST"),
    "zh": ("特价", "新品", "爆款", "热卖", "包邮", "秒杀", "清仓", "正品"),
}
# the last is the only pale one
_INKS = ((214, 28, 40), (240, 96, 20), (20, 20, 24), (16, 92, 190), (14, 128, 84), (150, 24, 110), (250, 204, 30))

# What a picture may be made to claim: a colour's name, what it looks like, in English and Chinese.
CLAIMS: tuple[tuple[tuple[int, int, int], str, str], ...] = (
    ((200, 30, 40), "RED", "红色"),
    ((30, 80, 190), "BLUE", "蓝色"),
    ((30, 130, 60), "GREEN", "绿色"),
    ((245, 210, 40), "YELLOW", "黄色"),
    ((240, 130, 30), "ORANGE", "橙色"),
    ((240, 150, 180), "PINK", "粉色"),
    ((110, 50, 150), "PURPLE", "紫色"),
    ((115, 75, 45), "BROWN", "棕色"),
    ((20, 20, 20), "BLACK", "黑色"),
    ((250, 250, 250), "WHITE", "白色"),
    ((130, 130, 130), "GREY", "灰色"),
)

Ink = tuple[int, int, int]
Piece = Callable[["Sheet", np.random.Generator, str], None]


@dataclass(frozen=True)
class TextBox:
    """Where words stand in a picture: x0 y0 x1 y1 in [0, 1].

    `kind` is `overlay` (promotion, its plate included), `border` (a frame, without words) or `product` (printed on
    the product itself).
    """

    x0: float
    y0: float
    x1: float
    y1: float
    words: str
    kind: str = "overlay"


@lru_cache(maxsize=256)
def typeface(size_px: int, bold: bool = True) -> ImageFont.FreeTypeFont:
    """The bundled font at a size; the simple layout engine, because not every machine has the other."""
    name = "ShopSans-Bold.otf" if bold else "ShopSans-Regular.otf"
    return ImageFont.truetype(str(FONTS / name), max(4, size_px), layout_engine=ImageFont.Layout.BASIC)


class Sheet:
    """A transparent sheet over the photo, finer than the photo where that is small."""

    def __init__(self, width_px: int, height_px: int) -> None:
        self.fine = 1 if min(width_px, height_px) >= 480 else 2
        self.width, self.height = width_px * self.fine, height_px * self.fine
        self.layer = Image.new("RGBA", (self.width, self.height), (0, 0, 0, 0))
        self.draw = ImageDraw.Draw(self.layer)

    @property
    def short(self) -> int:
        """Length of the shorter side in the sheet's own pixels."""
        return min(self.width, self.height)

    def clear(self) -> None:
        """Wipe everything off."""
        self.layer.paste((0, 0, 0, 0), (0, 0, self.width, self.height))

    def fitted(self, text: str, size: float, max_width: float, bold: bool = True) -> ImageFont.FreeTypeFont:
        """The largest font up to `size` that keeps the text within the width; never too small to read."""
        smallest = 7 * self.fine
        face = typeface(max(smallest, round(size)), bold)
        length = face.getlength(text)
        if length > max_width:
            face = typeface(max(smallest, int(face.size * max_width / length)), bold)
        return face

    def finished(self, photo_size: tuple[int, int]) -> Image.Image:
        """The sheet at the photo's size."""
        return self.layer.reduce(self.fine) if self.fine > 1 else self.layer.resize(photo_size)


def draw_overlays(
    photo: Image.Image,
    rng: np.random.Generator,
    *,
    text: str | None = None,
    language: str | None = None,
    pieces: int | None = None,
) -> tuple[Image.Image, list[TextBox]]:
    """The photo (RGB) with one to three promotions on it, and a box for each.

    `text` is what one of them says, whether it is true or not; the others are left out unless `pieces` asks for them.
    Boxes hold every pixel that changed.
    """
    drawn = photo.convert("RGBA")
    sheet = Sheet(*photo.size)
    wanted = pieces or (1 if text is not None else int(rng.choice((1, 2, 3), p=(0.5, 0.35, 0.15))))
    tongue = language or LANGUAGES[int(rng.random() < 0.5)]
    boxes: list[TextBox] = []
    taken: list[tuple[int, int, int, int]] = []
    if text is None and rng.random() < 0.12:
        drawn, frame = _framed(drawn, sheet, rng)
        boxes += frame
    for _ in range(wanted * 6):
        if len(taken) == wanted:
            break
        own_text = text if text is not None and not taken else None
        words = _draw_piece(sheet, rng, tongue, own_text)
        finished = sheet.finished(photo.size)
        sheet.clear()
        spot = finished.getchannel("A").getbbox()
        if spot is None or any(_meet(spot, other) for other in taken):
            continue
        taken.append(spot)
        drawn = Image.alpha_composite(drawn, finished)
        boxes.append(_box(spot, photo.size, words, "overlay"))
    return drawn.convert("RGB"), boxes


def draw_lying_text(
    photo: Image.Image,
    rng: np.random.Generator,
    *,
    claim: str | None = None,
    true_colour: Ink | None = None,
    language: str | None = None,
) -> tuple[Image.Image, list[TextBox]]:
    """The photo (RGB) with one large word that says what is not so: "RED" on a blue shirt; and its box.

    The word is `claim`, or the name of a colour far from `true_colour` (by default the median of the picture's middle).
    It stands in the middle as often as at the edge, on the product itself: the typographic attack of Goh et al. 2021
    (doi:10.23915/distill.00030). The box holds every pixel that changed.
    """
    tongue = language or LANGUAGES[int(rng.random() < 0.5)]
    words = claim if claim is not None else _false_colour(true_colour or _middle_colour(photo), tongue, rng)
    sheet = Sheet(*photo.size)
    if rng.random() < 0.5:
        (_pill, _caption, _banner)[int(rng.integers(3))](sheet, rng, words)
    else:
        _centre_label(sheet, rng, words)
    finished = sheet.finished(photo.size)
    drawn = Image.alpha_composite(photo.convert("RGBA"), finished).convert("RGB")
    spot = finished.getchannel("A").getbbox()
    return drawn, [] if spot is None else [_box(spot, photo.size, words, "overlay")]


def _middle_colour(photo: Image.Image) -> Ink:
    pixels = np.asarray(photo.convert("RGB"))
    height, width = pixels.shape[:2]
    middle = pixels[height // 3 : height - height // 3, width // 3 : width - width // 3]
    red, green, blue = np.median(middle.reshape(-1, 3), axis=0).astype(int).tolist()
    return red, green, blue


def _false_colour(true_colour: Ink, language: str, rng: np.random.Generator) -> str:
    """The name of one of the colours further away than the nearer half."""
    away = [float(np.linalg.norm(np.subtract(rgb, true_colour))) for rgb, _, _ in CLAIMS]
    far = np.argsort(away)[len(CLAIMS) // 2 :]
    _, english, chinese = CLAIMS[int(rng.choice(far))]
    return english if language == "en" else chinese


def _centre_label(sheet: Sheet, rng: np.random.Generator, text: str) -> None:
    """A plate or an outlined word over the middle of the picture, slightly turned."""
    plate, ink = _ink(rng)
    face = sheet.fitted(text, sheet.short * rng.uniform(0.1, 0.17), sheet.width * 0.6)
    left, top, right, bottom = face.getbbox(text)
    pad, stroke = int(face.size * 0.3), max(1, round(face.size * 0.08))
    label = Image.new("RGBA", (right - left + 2 * pad, bottom - top + 2 * pad), (0, 0, 0, 0))
    draw = ImageDraw.Draw(label)
    if rng.random() < 0.6:
        draw.rectangle((0, 0, label.width, label.height), fill=plate)
        draw.text((pad - left, pad - top), text, fill=ink, font=face)
    else:
        draw.text(
            (pad - left, pad - top),
            text,
            fill=(255, 255, 255),
            font=face,
            stroke_width=stroke,
            stroke_fill=(20, 20, 20),
        )
    turned = label.rotate(rng.uniform(-12, 12), Image.Resampling.BICUBIC, expand=True)
    x = (sheet.width - turned.width) * rng.uniform(0.3, 0.7)
    y = (sheet.height - turned.height) * rng.uniform(0.3, 0.7)
    sheet.layer.paste(turned, (max(0, int(x)), max(0, int(y))), turned)


def _draw_piece(sheet: Sheet, rng: np.random.Generator, language: str, own_text: str | None) -> str:
    """One promotion on the empty sheet; the words it says."""
    if own_text is not None:
        kinds: tuple[Callable[[Sheet, np.random.Generator, str], None], ...] = (_pill, _caption, _banner, _pill)
        kinds[int(rng.integers(len(kinds)))](sheet, rng, own_text)
        return own_text
    choice = int(rng.choice(8, p=(0.2, 0.2, 0.16, 0.12, 0.12, 0.08, 0.08, 0.04)))
    if choice == 0:
        return _price(sheet, rng, language)
    words = _words_for(choice, language, rng)
    drawers = (_pill, _badge, _pill, _banner, _caption, _ribbon, _stamp, _watermark)
    drawers[choice](sheet, rng, words)
    return words


def _words_for(choice: int, language: str, rng: np.random.Generator) -> str:
    """Badges, ribbons and stamps have room for a word or a number; the others for a slogan."""
    if choice == 7:
        return "@" + ("shop" if language == "en" else "小店") + str(int(rng.integers(10, 999)))
    if choice in (1, 5, 6):
        if rng.random() < 0.45:
            percent = int(rng.integers(1, 9)) * 10
            return f"-{percent}%" if language == "en" or rng.random() < 0.4 else f"{10 - percent // 10}折"
        return str(rng.choice(_BADGES[language]))
    return str(rng.choice(SLOGANS[language]))


def _ink(rng: np.random.Generator) -> tuple[Ink, Ink]:
    """A plate colour and a text colour that can be read on it."""
    plate = _INKS[int(rng.integers(len(_INKS)))]
    light = 0.3 * plate[0] + 0.59 * plate[1] + 0.11 * plate[2] > 150
    return plate, (30, 20, 10) if light else (255, 255, 255)


def _corner(sheet: Sheet, width: float, height: float, rng: np.random.Generator) -> tuple[float, float]:
    """Upper left point of a plate in one of the corners or at the middle of an edge."""
    margin = sheet.short * rng.uniform(0.015, 0.05)
    free_x, free_y = sheet.width - width - 2 * margin, sheet.height - height - 2 * margin
    anchors = ((0, 0), (1, 0), (0, 1), (1, 1), (0.5, 0), (0.5, 1))
    across, down = anchors[int(rng.integers(len(anchors)))]
    return margin + max(0.0, free_x) * across, margin + max(0.0, free_y) * down


def _centred(sheet: Sheet, centre: tuple[float, float], text: str, face: ImageFont.FreeTypeFont, fill: Ink) -> None:
    """Text with the middle of its ink on the point."""
    left, top, right, bottom = face.getbbox(text)
    sheet.draw.text((centre[0] - (left + right) / 2, centre[1] - (top + bottom) / 2), text, fill=fill, font=face)


def _pill(sheet: Sheet, rng: np.random.Generator, text: str) -> None:
    """Words on a rounded or square plate."""
    plate, ink = _ink(rng)
    face = sheet.fitted(text, sheet.short * rng.uniform(0.06, 0.11), sheet.width * 0.84)
    left, top, right, bottom = face.getbbox(text)
    pad = face.size * rng.uniform(0.3, 0.5)
    width, height = right - left + 2 * pad, bottom - top + 1.4 * pad
    x, y = _corner(sheet, width, height, rng)
    corner = height / 2 if rng.random() < 0.5 else height * 0.12
    outline = (255, 255, 255) if rng.random() < 0.3 else None
    line = max(1, int(face.size * 0.07)) if outline else 0
    sheet.draw.rounded_rectangle((x, y, x + width, y + height), corner, fill=plate, outline=outline, width=line)
    _centred(sheet, (x + width / 2, y + height / 2), text, face, ink)


def _price(sheet: Sheet, rng: np.random.Generator, language: str) -> str:
    """A price, on a plate or bare, with the old price struck out beneath or beside it."""
    amount = int(rng.integers(9, 399))
    sign, cents = ("¥", "") if language == "zh" else (str(rng.choice(("$", "€", "£"))), ".99")
    price = f"{sign}{amount}{cents}"
    old = f"{sign}{int(amount * rng.uniform(1.3, 2.2))}" if rng.random() < 0.6 else ""
    label = (
        (str(rng.choice(("到手价", "券后价", "活动价"))) if language == "zh" else "NOW") if rng.random() < 0.4 else ""
    )
    plate, ink = _ink(rng)
    face = sheet.fitted(price, sheet.short * rng.uniform(0.1, 0.16), sheet.width * 0.5)
    small = sheet.fitted(old or "0", face.size * 0.55, sheet.width * 0.3, bold=False)
    tiny = sheet.fitted(label or "0", face.size * 0.5, sheet.width * 0.3)
    pad = face.size * 0.3
    phrases = [(text, font) for text, font in ((label, tiny), (price, face), (old, small)) if text]
    while len(phrases) > 1 and _row_width(phrases, pad) > sheet.width * 0.97:
        phrases.remove(phrases[0] if phrases[0][0] is label else phrases[-1])
    width, height = _row_width(phrases, pad), face.size * 1.35
    x, y = _corner(sheet, width, height, rng)
    bare = rng.random() < 0.3
    if not bare:
        sheet.draw.rounded_rectangle((x, y, x + width, y + height), height * rng.choice((0.05, 0.3)), fill=plate)
    fill = (214, 28, 40) if bare else ink
    left = x + pad
    for phrase, font in phrases:
        baseline, length = y + height * 0.76, font.getlength(phrase)
        stroke = max(1, int(font.size * 0.06)) if bare else 0
        sheet.draw.text(
            (left, baseline),
            phrase,
            fill=fill,
            font=font,
            anchor="ls",
            stroke_width=stroke,
            stroke_fill=(255, 255, 255),
        )
        if phrase is old:
            middle = baseline - font.size * 0.32
            sheet.draw.line((left, middle, left + length, middle), fill=fill, width=max(1, int(font.size * 0.08)))
        left += length + pad * 0.6
    return " ".join(text for text, _ in phrases)


def _row_width(phrases: list[tuple[str, ImageFont.FreeTypeFont]], pad: float) -> float:
    """Width of words side by side on a plate."""
    return sum(font.getlength(text) for text, font in phrases) + pad * (2 + 0.6 * (len(phrases) - 1))


def _badge(sheet: Sheet, rng: np.random.Generator, text: str) -> None:
    """A round or star-shaped sticker in a corner."""
    plate, ink = _ink(rng)
    radius = sheet.short * rng.uniform(0.11, 0.17)
    face = sheet.fitted(text, radius * 0.8, radius * 1.5)
    radius = max(radius, face.getlength(text) / 2 * 1.2)
    x, y = _corner(sheet, 2 * radius, 2 * radius, rng)
    centre = (x + radius, y + radius)
    if rng.random() < 0.5:
        sheet.draw.ellipse((x, y, x + 2 * radius, y + 2 * radius), fill=plate)
        inset = radius * 0.1
        ring = (x + inset, y + inset, x + 2 * radius - inset, y + 2 * radius - inset)
        sheet.draw.ellipse(ring, outline=ink, width=max(1, int(radius * 0.04)))
    else:
        sheet.draw.polygon(_star(centre, radius, int(rng.integers(12, 20))), fill=plate)
    _centred(sheet, centre, text, face, ink)


def _star(centre: tuple[float, float], radius: float, points: int) -> list[tuple[float, float]]:
    turns = [math.pi * i / points for i in range(2 * points)]
    reach = [radius if i % 2 == 0 else radius * 0.88 for i in range(2 * points)]
    return [(centre[0] + r * math.cos(t), centre[1] + r * math.sin(t)) for t, r in zip(turns, reach, strict=True)]


def _banner(sheet: Sheet, rng: np.random.Generator, text: str) -> None:
    """A strip across the top or the bottom, opaque, see-through, or fading to the right."""
    plate, ink = _ink(rng)
    face = sheet.fitted(text, sheet.short * rng.uniform(0.065, 0.1), sheet.width * 0.9)
    height = face.size * rng.uniform(1.5, 2.0)
    y = 0.0 if rng.random() < 0.4 else sheet.height - height
    opacity = int(rng.choice((255, 255, 205)))
    sheet.draw.rectangle((0, y, sheet.width, y + height), fill=(*plate, opacity))
    if rng.random() < 0.4:
        edge = y + height if y == 0.0 else y
        accent = tuple(min(255, c + 70) for c in plate)
        sheet.draw.line((0, edge, sheet.width, edge), fill=accent, width=max(2, int(height * 0.1)))
    _centred(sheet, (sheet.width / 2, y + height / 2), text, face, ink)


def _caption(sheet: Sheet, rng: np.random.Generator, text: str) -> None:
    """Words without a plate: a light outline or a soft shadow keeps them readable."""
    plate, _ = _ink(rng)
    face = sheet.fitted(text, sheet.short * rng.uniform(0.08, 0.13), sheet.width * 0.88)
    left, top, right, bottom = face.getbbox(text)
    x, y = _corner(sheet, right - left, bottom - top, rng)
    spot = (x - left, y - top)
    if rng.random() < 0.6:
        stroke = max(1, round(face.size * 0.09))
        pale = 0.3 * plate[0] + 0.59 * plate[1] + 0.11 * plate[2] > 150
        rim = (60, 20, 10) if pale else (255, 255, 255)
        sheet.draw.text(spot, text, fill=plate, font=face, stroke_width=stroke, stroke_fill=rim)
        return
    sheet.draw.text((spot[0] + face.size * 0.05, spot[1] + face.size * 0.07), text, fill=(0, 0, 0, 170), font=face)
    sheet.layer = sheet.layer.filter(ImageFilter.GaussianBlur(face.size * 0.05))
    sheet.draw = ImageDraw.Draw(sheet.layer)
    sheet.draw.text(spot, text, fill=(255, 255, 255), font=face)


def _ribbon(sheet: Sheet, rng: np.random.Generator, text: str) -> None:
    """A strip across an upper corner, at 45 degrees."""
    plate, ink = _ink(rng)
    face = sheet.fitted(text, sheet.short * rng.uniform(0.055, 0.08), sheet.short * 0.3)
    height = int(face.size * 1.6)
    reach = max(sheet.short * rng.uniform(0.2, 0.26), face.getlength(text) * 0.62)
    strip = Image.new("RGBA", (int(reach * 4), height), (*plate, 255))
    ImageDraw.Draw(strip).text((strip.width / 2, height / 2), text, fill=ink, font=face, anchor="mm")
    right = rng.random() < 0.5
    turned = strip.rotate(-45 if right else 45, Image.Resampling.BICUBIC, expand=True)
    centre_x = sheet.width - reach * 0.72 if right else reach * 0.72
    spot = (int(centre_x - turned.width / 2), int(reach * 0.72 - turned.height / 2))
    sheet.layer.paste(turned, spot, turned)


def _stamp(sheet: Sheet, rng: np.random.Generator, text: str) -> None:
    """A slightly turned label in an outlined frame."""
    plate = _INKS[int(rng.integers(len(_INKS) - 1))]  # all but the pale one
    face = sheet.fitted(text, sheet.short * rng.uniform(0.09, 0.13), sheet.short * 0.45)
    left, top, right, bottom = face.getbbox(text)
    pad = int(face.size * 0.35)
    label = Image.new("RGBA", (right - left + 2 * pad, bottom - top + 2 * pad), (255, 255, 255, 225))
    draw = ImageDraw.Draw(label)
    line = max(1, int(face.size * 0.09))
    draw.rectangle((line, line, label.width - 1 - line, label.height - 1 - line), outline=plate, width=line)
    draw.text((pad - left, pad - top), text, fill=plate, font=face)
    turned = label.rotate(rng.uniform(-14, 14), Image.Resampling.BICUBIC, expand=True)
    x, y = _corner(sheet, turned.width, turned.height, rng)
    sheet.layer.paste(turned, (int(x), int(y)), turned)


def _watermark(sheet: Sheet, rng: np.random.Generator, text: str) -> None:
    """The shop's name, faint."""
    face = sheet.fitted(text, sheet.short * 0.07, sheet.width * 0.7, bold=False)
    left, top, right, bottom = face.getbbox(text)
    x = (sheet.width - (right - left)) / 2
    y = (sheet.height - (bottom - top)) * rng.uniform(0.4, 0.9)
    sheet.draw.text((x - left + 1, y - top + 1), text, fill=(60, 60, 60, 90), font=face)
    sheet.draw.text((x - left, y - top), text, fill=(255, 255, 255, 150), font=face)


def _framed(photo: Image.Image, sheet: Sheet, rng: np.random.Generator) -> tuple[Image.Image, list[TextBox]]:
    """The photo in a coloured frame; one box per side."""
    plate, _ = _ink(rng)
    width = max(1, round(min(photo.size) * rng.uniform(0.012, 0.035)))
    drawn = photo.copy()
    ImageDraw.Draw(drawn).rectangle((0, 0, photo.width - 1, photo.height - 1), outline=(*plate, 255), width=width)
    w, h = photo.size
    sides = ((0, 0, w, width), (0, h - width, w, h), (0, width, width, h - width), (w - width, width, w, h - width))
    return drawn, [_box(side, photo.size, "", "border") for side in sides]


def _meet(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _box(spot: tuple[int, int, int, int], size: tuple[int, int], words: str, kind: str) -> TextBox:
    w, h = size
    return TextBox(spot[0] / w, spot[1] / h, spot[2] / w, spot[3] / h, words, kind)
