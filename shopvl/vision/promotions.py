"""Promotions on photos by several independent hands, for training: what one hand does, the others do not.

A model that learned with promotions of one kind is at ease with that kind alone. `overlays.py` draws one kind; these
differ from it and from each other in what they draw, in letters, sizes, colours, opacity and place, the product itself
included (domain randomisation: Tobin et al. 2017, doi:10.1109/IROS.2017.8202133).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageOps

from shopvl.vision.promotion_words import claim, face, font_files, font_for, price, saving, slogan, words

Ink = tuple[int, int, int]
Spot = tuple[float, float]

_FINE_BELOW = 180  # px: labels on smaller photos are drawn twice as large, as if the photo had been shrunk with them
_PIECES = (1, 1, 1, 1, 1, 2, 2, 2, 2, 3)


@dataclass
class Canvas:
    """A photo that is being drawn on, and what chance and fonts the drawing has."""

    photo: Image.Image
    rng: random.Random
    fonts: Sequence[Path]

    @property
    def fine(self) -> int:
        """Pixels of a label per pixel of the photo, along a side."""
        return 2 if min(self.photo.size) < _FINE_BELOW else 1

    def across(self, least: float, most: float) -> float:
        """A random share of the shorter side, in pixels of a label."""
        return self.rng.uniform(least, most) * min(self.photo.size) * self.fine

    def spot(self, edge: float = 0.0) -> Spot:
        """Where the middle of a label comes, in shares of the photo: anywhere, or with that probability at an edge."""
        x, y = self.rng.random(), self.rng.random()
        if self.rng.random() < edge:
            near = self.rng.choice((0.1, 0.9))
            return (near, y) if self.rng.random() < 0.5 else (x, near)
        return x, y

    def put(self, label: Image.Image, spot: Spot, opacity: float = 1.0, turn: float = 0.0) -> None:
        """The RGBA label on the photo, within it as far as it fits, turned by some degrees."""
        if turn:
            label = label.rotate(turn, Image.Resampling.BILINEAR, expand=True)
        if self.fine > 1:
            label = label.reduce(self.fine)
        mask = label.getchannel("A")
        if opacity < 1:
            mask = mask.point(lambda value: int(value * opacity))
        free_x, free_y = self.photo.width - label.width, self.photo.height - label.height
        self.photo.paste(label.convert("RGB"), (round(free_x * spot[0]), round(free_y * spot[1])), mask)

    def written(self, text: str, size: float, ink: Ink, *, rim: Ink | None = None, most: float = 0.96) -> Image.Image:
        """A transparent label, RGBA, that holds the text's ink; smaller where it would be wider than that share."""
        font = font_for(text, self.rng, self.fonts)
        letters = face(font, size)
        longest, wide = most * self.photo.width * self.fine, letters.getlength(text)
        if wide > longest:
            letters = face(font, letters.size * longest / wide)
        stroke = max(1, int(letters.size) // 11) if rim else 0
        left, top, right, bottom = letters.getbbox(text, stroke_width=stroke)
        label = Image.new("RGBA", (max(1, int(right - left)), max(1, int(bottom - top))), (*(rim or ink), 0))
        ImageDraw.Draw(label).text((-left, -top), text, ink, letters, stroke_width=stroke, stroke_fill=rim)
        return label


def colour(rng: random.Random) -> Ink:
    """Any colour, often a strong one, sometimes black or white."""
    if rng.random() < 0.2:
        return rng.choice(((0, 0, 0), (255, 255, 255), (245, 240, 230), (40, 40, 44)))
    strong, shade = rng.random() < 0.6, [rng.randrange(256) for _ in range(3)]
    if strong:
        low, high = min(shade), max(shade) + 1
        shade = [int((value - low) * 230 / (high - low)) for value in shade]
    return shade[0], shade[1], shade[2]


def ink_on(plate: Ink, rng: random.Random) -> Ink:
    """A colour that can be read on the plate."""
    light = 0.3 * plate[0] + 0.59 * plate[1] + 0.11 * plate[2]
    ink = colour(rng)
    if abs(0.3 * ink[0] + 0.59 * ink[1] + 0.11 * ink[2] - light) > 110:
        return ink
    return (0, 0, 0) if light > 127 else (255, 255, 255)


def plate(canvas: Canvas) -> None:
    """One or two lines on a plate, square or round, opaque or see-through, straight or turned, anywhere."""
    rng = canvas.rng
    back = colour(rng)
    ink = ink_on(back, rng)
    size = rng.uniform(0.06, 0.2) * canvas.photo.width * canvas.fine
    lines = [canvas.written(words(rng), size, ink)]
    if rng.random() < 0.2:
        lines.append(canvas.written(words(rng), size * rng.uniform(0.5, 1), ink))
    pad_x, pad_y = int(size * rng.uniform(0.05, 0.6)), int(size * rng.uniform(0.05, 0.5))
    width = max(line.width for line in lines) + 2 * pad_x
    height = sum(line.height + pad_y for line in lines) + pad_y
    label = Image.new("RGBA", (width, height), (*back, 0))
    outline = ink if rng.random() < 0.2 else None
    draw = ImageDraw.Draw(label)
    draw.rounded_rectangle(
        (0, 0, width - 1, height - 1), rng.choice((0, 0, height // 6, height // 2)), back, outline, max(1, height // 20)
    )
    y = pad_y
    for line in lines:
        label.alpha_composite(line, ((width - line.width) // 2, y))
        y += line.height + pad_y
    turn = rng.choice((0, 0, 0, 90, 270, rng.uniform(-40, 40)))
    canvas.put(label, canvas.spot(), rng.choice((1.0, 1.0, rng.uniform(0.45, 0.95))), turn)


def lettering(canvas: Canvas) -> None:
    """Words without a plate, with a rim or a hard shadow, anywhere."""
    rng = canvas.rng
    ink = colour(rng)
    text, size = words(rng), rng.uniform(0.07, 0.22) * canvas.photo.width * canvas.fine
    turn, spot = rng.choice((0.0, 0.0, rng.uniform(-30, 30))), canvas.spot()
    if rng.random() < 0.5:
        canvas.put(canvas.written(text, size, ink, rim=ink_on(ink, rng)), spot, turn=turn)
        return
    letters = canvas.written(text, size, ink)
    off = max(1, int(size * 0.06))
    label = Image.new("RGBA", (letters.width + off, letters.height + off))
    shadow = Image.new("RGBA", letters.size, (*ink_on(ink, rng), 0))
    shadow.putalpha(letters.getchannel("A"))
    label.paste(shadow, (off, off))
    label.alpha_composite(letters)
    canvas.put(label, spot, turn=turn)


def stroked(canvas: Canvas) -> None:
    """Words of single strokes, as plotters and camera stamps write (Hershey 1967), with a box behind them or not."""
    rng = canvas.rng
    text = rng.choice((claim, saving))(rng).encode("ascii", "ignore").decode() or "SALE"
    fonts = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_COMPLEX)
    font, thick = rng.choice((*fonts, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX)), rng.choice((1, 2, 3))
    (wide, _), _ = cv2.getTextSize(text, font, 1.0, thick)
    scale = min(canvas.across(0.06, 0.18) / 22, 0.96 * canvas.photo.width * canvas.fine / wide)
    (wide, tall), below = cv2.getTextSize(text, font, scale, thick)
    mask = np.zeros((tall + below + 2 * thick, wide + 2 * thick), np.uint8)
    cv2.putText(mask, text, (thick, tall + thick), font, scale, 255, thick, cv2.LINE_AA)
    back = colour(rng)
    label = Image.new("RGBA", mask.shape[::-1], (*back, 0 if rng.random() < 0.4 else 255))
    label.paste((*ink_on(back, rng), 255), (0, 0), Image.fromarray(mask))
    canvas.put(label, canvas.spot())


def sticker(canvas: Canvas) -> None:
    """A disc, a burst, a polygon or an ellipse with a number or a word or two on it."""
    rng = canvas.rng
    wide = int(max(8, canvas.across(0.16, 0.42)))
    tall = int(wide * rng.choice((1, 1, rng.uniform(0.55, 0.9))))
    back = colour(rng)
    label = Image.new("RGBA", (wide, tall), (*back, 0))
    corners = rng.choice((0, 0, 5, 6, 8, rng.randrange(10, 40)))
    dent = rng.uniform(0.65, 0.92) if corners > 8 or (corners and rng.random() < 0.3) else 1.0
    draw = ImageDraw.Draw(label)
    if corners:
        start = rng.uniform(0, math.pi)
        outline = []
        for number in range(2 * corners):
            turn, reach = start + math.pi * number / corners, 0.5 if number % 2 == 0 else 0.5 * dent
            outline.append((wide * (0.5 + reach * math.cos(turn)), tall * (0.5 + reach * math.sin(turn))))
        draw.polygon(outline if dent < 1 else outline[::2], fill=back)
    else:
        draw.ellipse((0, 0, wide - 1, tall - 1), back, colour(rng) if rng.random() < 0.4 else None, max(1, wide // 16))
    text = saving(rng) if rng.random() < 0.6 else words(rng)
    parts = text.split(" ", 1) if len(text) > 5 else [text]
    lines = [canvas.written(part, tall * 0.5 / len(parts), ink_on(back, rng)) for part in parts]
    y = (tall - sum(line.height for line in lines) * 1.15) / 2
    for line in lines:
        fitted = line if line.width <= 0.86 * wide else ImageOps.contain(line, (max(1, int(0.86 * wide)), line.height))
        label.alpha_composite(fitted, (max(0, (wide - fitted.width) // 2), max(0, int(y))))
        y += line.height * 1.15
    canvas.put(label, canvas.spot(0.4), rng.choice((1.0, 1.0, 0.8)), rng.uniform(-25, 25))


def ribbon(canvas: Canvas) -> None:
    """A band across one of the four corners, at any steep angle, its words cut off where the photo ends."""
    rng = canvas.rng
    back = colour(rng)
    side, tall = min(canvas.photo.size) * canvas.fine, max(5, int(canvas.across(0.07, 0.17)))
    band = Image.new("RGBA", (int(side * rng.uniform(1.0, 1.3)), tall), (*back, 255))
    text = canvas.written(words(rng), tall * 0.75, ink_on(back, rng), most=0.55)
    band.alpha_composite(text, ((band.width - text.width) // 2, max(0, (tall - text.height) // 2)))
    right, low = rng.random() < 0.5, rng.random() < 0.35
    slope = rng.uniform(32, 58) * (1 if right == low else -1)
    turned = band.rotate(slope, Image.Resampling.BILINEAR, expand=True).reduce(canvas.fine)
    reach = rng.uniform(0.14, 0.3)
    x = canvas.photo.width * (1 - reach if right else reach) - turned.width / 2
    y = canvas.photo.height * (1 - reach if low else reach) - turned.height / 2
    canvas.photo.paste(turned.convert("RGB"), (int(x), int(y)), turned.getchannel("A"))


def watermark(canvas: Canvas) -> None:
    """Faint words over all of the photo: many small ones in rows, or one along the diagonal."""
    rng = canvas.rng
    ink = rng.choice(((255, 255, 255), (0, 0, 0), (128, 128, 128), colour(rng)))
    text = rng.choice((slogan(rng), "www.shop.com", "@store", "SAMPLE", "Copyright", "my-fashion.example"))
    if rng.random() < 0.4:
        label = canvas.written(text, canvas.across(0.12, 0.25), ink)
        turn = math.degrees(math.atan2(canvas.photo.height, canvas.photo.width)) * rng.choice((1, -1, 0.5))
        canvas.put(label, (0.5, 0.5), rng.uniform(0.2, 0.6), turn)
        return
    label = canvas.written(text, canvas.across(0.05, 0.1), ink, most=0.6).rotate(rng.uniform(-35, 35), expand=True)
    label = label.reduce(canvas.fine)
    opacity = rng.uniform(0.2, 0.55)
    label.putalpha(label.getchannel("A").point(lambda value: int(value * opacity)))
    step_x, step_y = int(label.width * rng.uniform(1.2, 2)) + 2, int(label.height * rng.uniform(1.3, 2.6)) + 2
    rows = range(-label.height // 2, canvas.photo.height, max(step_y, canvas.photo.height // 6))
    for row, y in enumerate(rows):
        for x in range(-(row % 2) * step_x // 2, canvas.photo.width, max(step_x, canvas.photo.width // 4)):
            canvas.photo.paste(label.convert("RGB"), (x, y), label.getchannel("A"))


def border(canvas: Canvas) -> None:
    """The photo within a frame, made smaller or covered by it, with a band for words on one side."""
    rng = canvas.rng
    photo, back = canvas.photo, colour(rng)
    thick = max(1, int(rng.uniform(0.01, 0.08) * min(photo.size)))
    band = max(2, int(rng.uniform(0.1, 0.2) * photo.height)) if rng.random() < 0.7 else thick
    top = rng.random() < 0.4
    box = (thick, band if top else thick, photo.width - thick, photo.height - (thick if top else band))
    if box[2] - box[0] < 4 or box[3] - box[1] < 4:
        return
    shrunk = rng.random() < 0.5
    size = (box[2] - box[0], box[3] - box[1])
    inner = photo.resize(size, Image.Resampling.BILINEAR) if shrunk else photo.crop(box)
    photo.paste(back, (0, 0, *photo.size))
    photo.paste(inner, box[:2])
    if rng.random() < 0.3:
        ImageDraw.Draw(photo).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), outline=ink_on(back, rng))
    if band > thick:
        label = canvas.written(words(rng), band * canvas.fine * 0.7, ink_on(back, rng), most=0.9)
        canvas.put(label, (rng.choice((0.05, 0.5, 0.95)), 0.02 if top else 0.98))


def collage(canvas: Canvas) -> None:
    """The photo once more, or a detail of it, small in a corner or as a strip of two or three; framed or in a disc."""
    rng, photo = canvas.rng, canvas.photo
    share, count = rng.uniform(0.2, 0.38), rng.choice((1, 1, 2, 3))
    size = (max(3, int(photo.width * share)), max(3, int(photo.height * share)))
    x = rng.choice((0.02, 0.98)) * (photo.width - size[0])
    whole = photo.copy()
    for number in range(count):
        zoom = rng.uniform(0.3, 1.0)
        seen = max(1, int(zoom * photo.width)), max(1, int(zoom * photo.height))
        left, top = rng.randint(0, photo.width - seen[0]), rng.randint(0, photo.height - seen[1])
        part = (left, top, left + seen[0], top + seen[1])
        detail = whole.resize(size, Image.Resampling.BILINEAR, part)
        if rng.random() < 0.5:
            detail = ImageOps.mirror(detail)
        y = (photo.height - size[1]) * (number / 2 if count > 1 else rng.choice((0.02, 0.98)))
        mask = Image.new("L", size, 255)
        draw = ImageDraw.Draw(mask)
        if count == 1 and rng.random() < 0.4:
            mask.paste(0, (0, 0, *size))
            draw.ellipse((0, 0, size[0] - 1, size[1] - 1), 255)
        elif rng.random() < 0.7:
            ImageDraw.Draw(detail).rectangle((0, 0, size[0] - 1, size[1] - 1), outline=colour(rng))
        photo.paste(detail, (int(x), int(y)), mask)


def swatches(canvas: Canvas) -> None:
    """A row or a column of dots or squares in colours that the product also comes in."""
    rng, count = canvas.rng, canvas.rng.randrange(3, 7)
    side = max(3, int(canvas.across(0.06, 0.14)))
    step = int(side * rng.uniform(1.05, 1.4))
    label = Image.new("RGBA", (step * count, side), (255, 255, 255, rng.choice((0, 0, 230))))
    draw = ImageDraw.Draw(label)
    shape = draw.ellipse if rng.random() < 0.6 else draw.rectangle
    rim = rng.choice((None, (255, 255, 255), (120, 120, 120)))
    for number in range(count):
        shape((number * step, 0, number * step + side - 1, side - 1), fill=colour(rng), outline=rim)
    canvas.put(label, canvas.spot(0.9), turn=rng.choice((0, 0, 90)))


def price_tag(canvas: Canvas) -> None:
    """A tag with a point and a hole, or a bare price; the old price beside or beneath, struck out."""
    rng = canvas.rng
    back = colour(rng)
    ink, amount, size = ink_on(back, rng), rng.uniform(5, 300), canvas.across(0.09, 0.2)
    new = canvas.written(price(rng, amount), size, ink, most=0.5)
    old = canvas.written(price(rng, amount * rng.uniform(1.1, 2.5)), size * rng.uniform(0.4, 0.8), ink, most=0.35)
    middle = old.height // 2
    slant = rng.choice((0, old.height // 4))
    ImageDraw.Draw(old).line((0, middle + slant, old.width, middle - slant), colour(rng), max(1, old.height // 10))
    pad = max(1, int(size * rng.uniform(0.2, 0.5)))
    beside = rng.random() < 0.5
    wide = new.width + old.width + pad if beside else max(new.width, old.width)
    tall = max(new.height, old.height) if beside else new.height + old.height + pad // 2
    point = int(tall * 0.5) if rng.random() < 0.6 else 0
    label = Image.new("RGBA", (wide + 2 * pad + point, tall + 2 * pad), (*back, 0))
    right, bottom = label.width - 1, label.height - 1
    draw = ImageDraw.Draw(label)
    if rng.random() < 0.85:
        draw.polygon([(0, bottom / 2), (point, 0), (right, 0), (right, bottom), (point, bottom)], fill=back)
    if point:
        hole = max(1, tall // 10)
        draw.ellipse((point - hole, bottom / 2 - hole, point + hole, bottom / 2 + hole), fill=ink)
    label.alpha_composite(new, (point + pad, pad))
    label.alpha_composite(
        old, (point + pad + new.width + pad, pad) if beside else (point + pad, pad * 3 // 2 + new.height)
    )
    canvas.put(label, canvas.spot(0.3), turn=rng.choice((0, 0, rng.uniform(-25, 25))))


def logo(canvas: Canvas) -> None:
    """A shop's sign: rings, bars, a triangle or a letter in a disc, with a name beside it or not."""
    rng = canvas.rng
    side, ink = max(6, int(canvas.across(0.1, 0.26))), colour(canvas.rng)
    sign = Image.new("RGBA", (side, side), (*ink, 0))
    draw, line = ImageDraw.Draw(sign), max(1, side // 9)
    kind = rng.choice(("ring", "bars", "triangle", "letter"))
    if kind == "ring":
        draw.ellipse((0, 0, side * 2 // 3, side * 2 // 3), outline=ink, width=line)
        draw.ellipse((side // 3, side // 3, side - 1, side - 1), outline=colour(rng), width=line)
    elif kind == "bars":
        for number in range(3):
            x = number * side // 3
            draw.polygon([(x + line, 0), (x + side // 4, 0), (x + side // 4 - line, side), (x, side)], fill=ink)
    elif kind == "triangle":
        draw.polygon([(side // 2, 0), (side - 1, side - 1), (0, side - 1)], fill=ink)
    else:
        draw.ellipse((0, 0, side - 1, side - 1), fill=ink)
        letter = canvas.written(rng.choice("ABCDEFGHKMNQRSTVWXYZ"), side * 0.6, ink_on(ink, rng))
        sign.alpha_composite(letter, (max(0, (side - letter.width) // 2), max(0, (side - letter.height) // 2)))
    if rng.random() < 0.5:
        name = canvas.written(
            rng.choice(("Moda", "SHOPLY", "Nordic", "Bella & Co", "URBAN", "Linden 5")), side * 0.5, ink
        )
        beside = Image.new("RGBA", (side + line + name.width, side), (*ink, 0))
        beside.paste(sign)
        beside.paste(name, (side + line, (side - name.height) // 2))
        sign = beside
    canvas.put(sign, canvas.spot(0.7), rng.choice((1.0, 0.85, 0.5)))


@dataclass(frozen=True)
class Hand:
    """One way of drawing, how often it is chosen, and whether what it draws are words that OCR is to find."""

    draw: Callable[[Canvas], None]
    weight: float
    legible: bool = True


HANDS = (
    Hand(plate, 4),
    Hand(lettering, 2),
    Hand(stroked, 1.5),
    Hand(sticker, 2),
    Hand(ribbon, 1),
    Hand(price_tag, 1.2),
    Hand(watermark, 1.2, legible=False),
    Hand(border, 1, legible=False),
    Hand(collage, 1, legible=False),
    Hand(swatches, 0.8, legible=False),
    Hand(logo, 0.8, legible=False),
)


def pick_hands(rng: random.Random) -> list[Hand]:
    """One to three hands by their weights."""
    return rng.choices(HANDS, [hand.weight for hand in HANDS], k=rng.choice(_PIECES))


def draw_promotions(
    photo: Image.Image, rng: random.Random, fonts: Sequence[Path] | None = None
) -> tuple[Image.Image, Image.Image]:
    """The photo, RGB and of the same size, with one to three promotions on it (`pick_hands`).

    And the same without the words that OCR is to find, to paint these out. `fonts` are by default all that are found
    (`font_files`): same seed and same fonts, same picture.
    """
    canvas = Canvas(photo.convert("RGB"), rng, fonts or font_files())
    chosen = pick_hands(rng)
    for hand in chosen:
        if not hand.legible:
            hand.draw(canvas)
    wordless = canvas.photo.copy()
    for hand in chosen:
        if hand.legible:
            hand.draw(canvas)
    return canvas.photo, wordless
