"""Products of a made-up shop: item `number` depends only on (seed, number, size), so any part can be made anywhere."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from shopvl.errors import CatalogError
from shopvl.synthetic.assortment import KINDS, Kind, properties_of
from shopvl.synthetic.described import Measured, ToldText, brand_of, measured, told_of
from shopvl.synthetic.fabric import Rgb, luminance
from shopvl.synthetic.looks import Look
from shopvl.synthetic.named import ShownPart
from shopvl.synthetic.outline import pose_for
from shopvl.synthetic.paint import Painter, Sketch
from shopvl.synthetic.scenery import BACKGROUNDS, backdrop, cast_shadow
from shopvl.synthetic.vocabulary import COLOURS, VALUES
from shopvl.synthetic.wording import queries, titles
from shopvl.vision.overlays import TextBox, draw_overlays

SMALLEST_PX = 32
MOST_VIEWS = 5  # that can be drawn of a product, the main one among them
_TWIN_SHARE = 0.1
_FORGOTTEN = {"Colour": 0.05, "Brand": 0.03}  # share of products whose CPV lacks the property; 0.1 for the others
_STREAMS = (
    "twin",
    "facts",
    "words",
    "cpv",
    "look",
    "draw",
    "scene",
    "overlay",
    "clicks",
    "brand",
    "measures",
    "told",
    "view",
)
TWO_COLOURED = ("Striped", "Checked", "Colour Block", "Polka Dots")  # patterns that show two colours alike
_SMALL_PX = 160  # pictures up to this size are painted at twice the size


@dataclass(frozen=True)
class ShopItem:
    """One product with its picture, and what is true about both."""

    product_id: str
    title: str
    title_zh: str
    category_path: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...]  # as a seller filled them in: true, but some are missing
    queries: tuple[str, ...]
    image: Image.Image
    subject_mask: np.ndarray  # bool (Y, X): the product without its shadow, also where an overlay hides it
    text_boxes: tuple[TextBox, ...]
    background: str  # white, plain or busy
    facts: tuple[tuple[str, str], ...]  # every property with its true value
    price: float
    twin_of: str | None  # the product with the same title and another picture
    split: str  # the part of the catalog: the Chinese title decides, for equal English titles have equal Chinese ones
    told: ToldText  # title and description in English or German, and in Chinese
    told_zh: ToldText
    parts: tuple[ShownPart, ...] = ()  # pieces of the product that have names, in the main picture
    views: tuple[Image.Image, ...] = ()  # further pictures: of another side, of a detail, and the shop's chart of sizes


def split_of(title: str) -> str:
    """train, val or test (80/10/10) by the title, so that twins never sit on both sides."""
    tenth = int.from_bytes(hashlib.sha256(title.encode()).digest()[:4], "big") % 10
    return "train" if tenth < 8 else "val" if tenth == 8 else "test"


def stream(seed: int, number: int, purpose: str) -> np.random.Generator:
    """Chance for one purpose: drawing a banner must not change the product under it."""
    return np.random.default_rng([seed, number, _STREAMS.index(purpose)])


def product_id(seed: int, number: int) -> str:
    """The name of item `number`."""
    return f"s{seed}-{number:06d}"


def draw_item(
    number: int,
    seed: int,
    size_px: int = 224,
    *,
    overlay_share: float = 0.25,
    overlay_text: str | None = None,
    described: bool = False,
    pictures: int = 1,
) -> ShopItem:
    """Product `number` of the shop `seed`, with so many pictures (at most MOST_VIEWS).

    `overlay_share` is the chance of promotions on the picture; `overlay_text` puts one there that says just this,
    true or not. Everything else stays the same whatever they are. A `described` product has a description, measures
    and a brand of a long tail besides (`described.py`).
    """
    _check(number, seed, size_px, overlay_share)
    if not 1 <= pictures <= MOST_VIEWS:
        raise CatalogError(f"{pictures} pictures a product were asked for; 1 to {MOST_VIEWS} can be drawn")
    words = product_words(number, seed, described=described)
    root, kind, facts = words.root, words.kind, words.facts
    sketch = _sketch(kind, facts, seed, number, words.about.colours[1] if len(words.about.colours) > 1 else None)
    photo = _photo(sketch, size_px, stream(seed, number, "scene"))
    image, mask, boxes = photo.image, photo.mask, photo.text_boxes
    views = tuple(_views(sketch, image, mask, size_px, stream(seed, number, "view")))[: pictures - 1]
    chance = stream(seed, number, "overlay")
    if chance.random() < overlay_share or overlay_text is not None:
        image, more = draw_overlays(image, chance, text=overlay_text)
        boxes = [*boxes, *more]
    clicks = stream(seed, number, "clicks")
    return ShopItem(
        product_id=product_id(seed, number),
        title=words.told.title,
        title_zh=words.told_zh.title,
        category_path=kind.category_path,
        attributes=words.attributes,
        queries=queries(kind.name, facts, clicks),
        image=image,
        subject_mask=mask,
        text_boxes=tuple(boxes),
        background=photo.background,
        facts=(*(pair for pair in facts.items() if pair[0] not in words.about.several), *words.about.facts),
        price=int(clicks.integers(*kind.price)) + 0.99,
        twin_of=product_id(seed, root) if root != number else None,
        split=words.split,
        told=words.told,
        told_zh=words.told_zh,
        parts=photo.parts,
        views=views,
    )


@dataclass(frozen=True)
class ProductWords:
    """What is known and written of one product, before it is painted."""

    root: int  # the item that has the same title and facts
    kind: Kind
    facts: dict[str, str]
    about: Measured
    told: ToldText
    told_zh: ToldText
    split: str
    attributes: tuple[tuple[str, str], ...]


def product_words(number: int, seed: int, *, described: bool = False) -> ProductWords:
    """Title, facts and description of product `number` of the shop `seed`, which cost little."""
    root = _root(seed, number)
    kind, facts = _facts(seed, root)
    title, title_zh = titles(kind.name, facts, stream(seed, root, "words"))
    split, about, told, told_zh = split_of(title_zh), Measured(), ToldText(title), ToldText(title_zh)
    if described:
        # the brand takes another's place, so that everything else is that of the shop that is not described
        facts = {**facts, "Brand": brand_of(split, stream(seed, root, "brand"))}
        title, title_zh = titles(kind.name, facts, stream(seed, root, "words"))
        second = _second_colour(facts, seed, root)
        colours = (facts["Colour"], *([second] if second else []))
        about = measured(kind.name, facts.get("Material", ""), colours, stream(seed, root, "measures"))
        told, told_zh = (
            told_of(own, facts["Brand"], about, chinese=chinese, rng=stream(seed, root, "told"))
            for own, chinese in ((title, False), (title_zh, True))
        )
    own = _filled_in(facts, stream(seed, number, "cpv"))
    filled = (*(pair for pair in own if pair[0] not in about.several), *about.attributes)
    return ProductWords(root, kind, facts, about, told, told_zh, split, filled)


def _check(number: int, seed: int, size_px: int, overlay_share: float) -> None:
    if number < 0 or seed < 0:
        raise CatalogError(f"item {number} of shop {seed}: number and seed start at 0")
    if size_px < SMALLEST_PX:
        raise CatalogError(f"size_px is {size_px}; products are drawn from {SMALLEST_PX} px upwards")
    if not 0 <= overlay_share <= 1:
        raise CatalogError(f"overlay_share is {overlay_share}; it is a share between 0 and 1")


def _root(seed: int, number: int) -> int:
    """The item whose title and facts this one has: itself, or for a twin an earlier item."""
    while number > 0:
        chance = stream(seed, number, "twin")
        if chance.random() >= _TWIN_SHARE:
            return number
        earlier = number - int(chance.integers(1, 40))
        if earlier < 0:
            return number
        number = earlier
    return number


def _facts(seed: int, number: int) -> tuple[Kind, dict[str, str]]:
    """Type and properties. Types take turns, so a small shop has them all."""
    rng = stream(seed, number, "facts")
    kind = KINDS[(number * 7 + seed) % len(KINDS)]
    choices: dict[str, tuple[str, ...]] = {
        "Colour": kind.colours,
        "Pattern": kind.patterns,
        **kind.traits,
        "Material": kind.materials,
        "Gender": kind.genders,
        "Season": tuple(name.en for name in VALUES["Season"]),
        "Usage": kind.usages,
        "Brand": tuple(name.en for name in VALUES["Brand"]),
    }
    picked = {name: str(rng.choice(choices[name])) for name in properties_of(kind)}
    if "Pattern" in picked and rng.random() < 0.35:
        picked["Pattern"] = "Solid"
    return kind, picked


def _filled_in(facts: dict[str, str], rng: np.random.Generator) -> tuple[tuple[str, str], ...]:
    """The CPV a seller entered: now and then a property is forgotten."""
    filled = [(name, value) for name, value in facts.items() if rng.random() >= _FORGOTTEN.get(name, 0.1)]
    return tuple(filled)


def _sketch(kind: Kind, facts: dict[str, str], seed: int, number: int, second: str | None = None) -> Sketch:
    """The product in its colours; a twin has the facts of another but its own dye lot, folds and trims."""
    rng = stream(seed, number, "look")
    ground = _jittered(COLOURS[facts["Colour"]], rng)
    names = _partner_names(facts["Colour"], ground, rng)
    figure, accent = (_jittered(COLOURS[name], rng) for name in names)
    if second is not None:  # the root's, whose title this product has
        figure = _jittered(COLOURS[second], rng)
    printed = (
        facts["Brand"] if rng.random() < kind.branded and facts.get("Pattern") in (None, "Solid", "Printed") else ""
    )
    look = Look(
        ground=ground,
        figure=figure,
        accent=accent,
        pattern=facts.get("Pattern", "Solid"),
        traits={name: facts[name] for name in kind.traits},
        printed=printed,
        seed=int(rng.integers(2**31)),
    )
    return kind.draw(look, stream(seed, number, "draw"))


def _jittered(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """The shade of one dye lot."""
    light = rng.uniform(0.92, 1.06)
    r, g, b = np.clip(np.array(rgb) * light + rng.normal(0, 3.5, 3), 12, 250).tolist()
    return (r, g, b)


def _partner_names(colour: str, ground: Rgb, rng: np.random.Generator) -> tuple[str, str]:
    """Two colours that can be seen on the ground colour; white or near black most of the time for the first."""
    others = [name for name in COLOURS if name != colour and abs(luminance(COLOURS[name]) - luminance(ground)) > 55]
    first = ("White" if luminance(ground) < 150 else "Navy") if rng.random() < 0.45 else str(rng.choice(others))
    return first, str(rng.choice([name for name in others if name != first]))


def _second_colour(facts: dict[str, str], seed: int, number: int) -> str | None:
    """The colour of the figures on a product, where they take up as much of it as the ground does."""
    if facts.get("Pattern") not in TWO_COLOURED:
        return None
    rng = stream(seed, number, "look")
    return _partner_names(facts["Colour"], _jittered(COLOURS[facts["Colour"]], rng), rng)[0]


def _views(
    sketch: Sketch, image: Image.Image, mask: np.ndarray, size_px: int, rng: np.random.Generator
) -> Iterator[Image.Image]:
    """Further pictures as a shop has them: another photo, a detail of the first, one more, and the chart of sizes."""
    yield _photo(sketch, size_px, rng).image
    reach = size_px // 5
    inner_YX = mask[reach:-reach, reach:-reach]
    y, x = rng.choice(np.argwhere(inner_YX if inner_YX.any() else np.ones_like(inner_YX))).tolist()
    detail = image.crop((x, y, x + 2 * reach, y + 2 * reach))
    yield detail.resize((size_px, size_px), Image.Resampling.BICUBIC)
    yield _photo(sketch, size_px, rng).image
    yield _size_chart(size_px)


def _size_chart(size_px: int) -> Image.Image:
    """The same under every product: it shows none of them."""
    chart = Image.new("RGB", (size_px, size_px), "white")
    pen, step = ImageDraw.Draw(chart), size_px // 6
    for place in range(1, 6):
        pen.line((step // 2, place * step, size_px - step // 2, place * step), fill=(120, 120, 120))
        pen.line((place * step, step // 2, place * step, size_px - step // 2), fill=(120, 120, 120))
    for row, words in enumerate(("S  36  88", "M  38  92", "L  40  96", "XL 42 100")):
        pen.text((step, (row + 1) * step + 2), words, fill="black")
    return chart


@dataclass(frozen=True)
class Photo:
    """A picture of a product, and what is seen where."""

    image: Image.Image
    mask: np.ndarray  # bool (Y, X)
    text_boxes: list[TextBox]  # of words printed on the product
    background: str
    parts: tuple[ShownPart, ...]


def _photo(sketch: Sketch, size_px: int, rng: np.random.Generator) -> Photo:
    fine = 2 if size_px <= _SMALL_PX else 1
    background = str(rng.choice(BACKGROUNDS, p=(0.4, 0.27, 0.33)))
    side = size_px * fine
    pose = pose_for(sketch.outline(), side, rng, sketch.turn, sketch.may_flip)
    painter = Painter(side, pose, rng)
    painter.paint(sketch)
    scene = backdrop(background, sketch.standing, side, rng)
    strength = rng.uniform(0.12, 0.4) if background == "white" else rng.uniform(0.3, 0.55)
    scene = cast_shadow(scene, painter.cover, sketch.standing, float(strength))
    lit = painter.colour * _room_light(side, rng)[..., None]
    picture = scene * (1 - painter.cover[..., None]) + lit
    if background != "white":
        picture = picture * rng.uniform(0.94, 1.05) + rng.normal(0, 1.3, (side, side, 1)).astype(np.float32)
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    cover = painter.cover
    if fine > 1:
        image = image.reduce(fine)
        cover = cover.reshape(size_px, fine, size_px, fine).mean(axis=(1, 3))
    return Photo(image, cover > 0.5, painter.text_boxes, background, painter.parts.shown(fine))


def _room_light(side: int, rng: np.random.Generator) -> np.ndarray:
    """A soft fall of light over the product (Y, X), brighter at the upper left."""
    ramp = np.linspace(-1, 1, side, dtype=np.float32)
    strength = rng.uniform(0.02, 0.07)
    light: np.ndarray = 1 - strength * (0.5 * ramp[None, :] + 0.8 * ramp[:, None])
    return light
