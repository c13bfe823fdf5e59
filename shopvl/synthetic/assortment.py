"""What the shop sells: the product types, what each may look like, and how it is drawn."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from shopvl.synthetic import accessories, bags, clothes, footwear, home, legwear
from shopvl.synthetic.looks import Look
from shopvl.synthetic.paint import Sketch
from shopvl.synthetic.vocabulary import CATEGORY_NAMES, COLOURS, PROPERTY_NAMES, VALUES, Name

_ALL = tuple(COLOURS)
_LEATHER = ("Black", "Brown", "Beige", "Red", "Navy", "White", "Green", "Pink", "Grey")
_SOBER = ("Black", "White", "Grey", "Beige", "Brown", "Navy", "Blue", "Green", "Red")
_PATTERNS = ("Solid", "Striped", "Checked", "Polka Dots", "Floral", "Colour Block")


@dataclass(frozen=True)
class Kind:
    """One product type: where it belongs, what it may look like, how it is drawn."""

    name: str
    singular: str  # the word used in titles, in the singular
    path: tuple[str, str]
    zh: str
    synonyms: tuple[str, ...]
    draw: Callable[[Look, np.random.Generator], Sketch]
    price: tuple[int, int]
    traits: dict[str, tuple[str, ...]] = field(default_factory=dict)  # visible properties besides colour and pattern
    colours: tuple[str, ...] = _ALL
    patterns: tuple[str, ...] = _PATTERNS
    materials: tuple[str, ...] = ("Cotton",)
    genders: tuple[str, ...] = ("Men", "Women", "Unisex")
    usages: tuple[str, ...] = ("Casual",)
    branded: float = 0.0  # share with the brand printed on the product

    @property
    def category_path(self) -> tuple[str, ...]:
        """Root to leaf."""
        return (*self.path, self.name)


_TOP, _BOTTOM, _OUTER = ("Apparel", "Topwear"), ("Apparel", "Bottomwear"), ("Apparel", "Outerwear")
_SHOES, _WORN = ("Footwear", "Shoes"), ("Casual", "Formal", "Sports", "Party")

KINDS: tuple[Kind, ...] = (
    Kind(
        "T-shirts",
        "T-shirt",
        _TOP,
        "T恤",
        ("tee", "tshirt", "体恤"),
        clothes.t_shirt,
        (9, 39),
        traits={
            "Sleeve": ("Short Sleeves", "Long Sleeves", "Sleeveless"),
            "Neck": ("Round Neck", "V-Neck", "Polo Collar"),
        },
        patterns=(*_PATTERNS, "Printed"),
        materials=("Cotton", "Polyester"),
        usages=("Casual", "Sports"),
        branded=0.5,
    ),
    Kind(
        "Shirts",
        "Shirt",
        _TOP,
        "衬衫",
        ("button-up", "衬衣"),
        clothes.shirt,
        (19, 79),
        traits={"Sleeve": ("Short Sleeves", "Long Sleeves")},
        patterns=_PATTERNS[:5],
        materials=("Cotton", "Linen"),
        usages=("Casual", "Formal"),
    ),
    Kind(
        "Sweaters",
        "Sweater",
        _TOP,
        "毛衣",
        ("jumper", "pullover", "针织衫"),
        clothes.sweater,
        (29, 119),
        traits={"Neck": ("Round Neck", "V-Neck", "Turtleneck")},
        patterns=("Solid", "Striped", "Checked", "Polka Dots", "Colour Block", "Printed"),
        materials=("Wool", "Cotton"),
    ),
    Kind(
        "Hoodies",
        "Hoodie",
        _TOP,
        "卫衣",
        ("sweatshirt", "连帽衫"),
        clothes.hoodie,
        (25, 89),
        traits={"Closure": ("Pullover", "Zip")},
        patterns=("Solid", "Striped", "Colour Block", "Printed"),
        materials=("Cotton", "Polyester"),
        usages=("Casual", "Sports"),
        branded=0.5,
    ),
    Kind(
        "Coats",
        "Coat",
        _OUTER,
        "大衣",
        ("overcoat", "外套"),
        clothes.coat,
        (79, 299),
        traits={"Length": ("Hip", "Long"), "Closure": ("Buttons", "Zip")},
        patterns=("Solid", "Checked"),
        materials=("Wool", "Polyester"),
        usages=("Casual", "Formal"),
    ),
    Kind(
        "Dresses",
        "Dress",
        ("Apparel", "One-piece"),
        "连衣裙",
        ("gown", "裙子"),
        clothes.dress,
        (29, 159),
        traits={
            "Sleeve": ("Sleeveless", "Short Sleeves", "Long Sleeves"),
            "Neck": ("Round Neck", "V-Neck"),
            "Length": ("Mini", "Midi", "Maxi"),
        },
        patterns=_PATTERNS[:5],
        materials=("Cotton", "Silk", "Linen"),
        genders=("Women",),
        usages=("Casual", "Party", "Formal"),
    ),
    Kind(
        "Skirts",
        "Skirt",
        _BOTTOM,
        "半身裙",
        ("skort", "短裙"),
        clothes.skirt,
        (19, 79),
        traits={"Length": ("Mini", "Midi", "Maxi")},
        patterns=_PATTERNS[:5],
        materials=("Cotton", "Polyester"),
        genders=("Women",),
        usages=("Casual", "Party"),
    ),
    Kind(
        "Jeans",
        "Jeans",
        _BOTTOM,
        "牛仔裤",
        ("denim", "denims"),
        legwear.jeans,
        (29, 119),
        traits={"Fit": ("Skinny", "Straight", "Wide")},
        colours=("Blue", "Navy", "Black", "Grey", "White"),
        patterns=("Solid",),
        materials=("Denim",),
    ),
    Kind(
        "Shorts",
        "Shorts",
        _BOTTOM,
        "短裤",
        ("bermudas", "五分裤"),
        legwear.shorts,
        (15, 59),
        traits={"Closure": ("Button", "Drawstring")},
        patterns=_PATTERNS[:5],
        materials=("Cotton", "Polyester"),
        usages=("Casual", "Sports"),
    ),
    Kind(
        "Socks",
        "Socks",
        ("Apparel", "Legwear"),
        "袜子",
        ("hosiery", "棉袜"),
        legwear.socks,
        (4, 19),
        traits={"Height": ("Ankle", "Crew", "Knee High")},
        patterns=("Solid", "Striped", "Checked", "Polka Dots", "Colour Block"),
        materials=("Cotton", "Wool"),
        usages=("Casual", "Sports"),
    ),
    Kind(
        "Sneakers",
        "Sneakers",
        _SHOES,
        "运动鞋",
        ("trainers", "running shoes", "球鞋"),
        footwear.sneaker,
        (39, 149),
        traits={"Closure": ("Lace-up", "Slip-on", "Velcro")},
        patterns=("Solid", "Checked", "Colour Block"),
        materials=("Canvas", "Leather"),
        usages=("Casual", "Sports"),
    ),
    Kind(
        "Heels",
        "Heels",
        _SHOES,
        "高跟鞋",
        ("pumps", "stilettos", "女鞋"),
        footwear.heel_pump,
        (39, 169),
        traits={"Heel": ("Mid", "High")},
        patterns=("Solid", "Solid", "Polka Dots", "Floral"),
        materials=("Leather",),
        genders=("Women",),
        usages=("Formal", "Party"),
    ),
    Kind(
        "Boots",
        "Boots",
        _SHOES,
        "靴子",
        ("booties", "皮靴"),
        footwear.boot,
        (59, 219),
        traits={
            "Height": ("Ankle", "Knee High"),
            "Heel": ("Flat", "Mid", "High"),
            "Closure": ("Lace-up", "Zip", "Slip-on"),
        },
        colours=_LEATHER,
        patterns=("Solid",),
        materials=("Leather",),
        usages=("Casual", "Formal"),
    ),
    Kind(
        "Sandals",
        "Sandals",
        ("Footwear", "Open Shoes"),
        "凉鞋",
        ("slides", "沙滩鞋"),
        footwear.sandal,
        (19, 89),
        traits={"Heel": ("Flat", "Wedge")},
        patterns=("Solid", "Solid", "Striped", "Floral"),
        materials=("Leather", "Canvas"),
        usages=("Casual", "Travel"),
    ),
    Kind(
        "Handbags",
        "Handbag",
        ("Accessories", "Bags"),
        "手提包",
        ("purse", "女包"),
        bags.handbag,
        (49, 249),
        traits={"Strap": ("Top Handle", "Shoulder Strap", "Chain")},
        patterns=("Solid", "Solid", "Checked", "Floral", "Colour Block"),
        materials=("Leather", "Canvas"),
        genders=("Women",),
        usages=("Casual", "Party"),
    ),
    Kind(
        "Backpacks",
        "Backpack",
        ("Accessories", "Bags"),
        "双肩包",
        ("rucksack", "daypack", "背包"),
        bags.backpack,
        (29, 129),
        patterns=("Solid", "Solid", "Checked", "Polka Dots", "Floral", "Colour Block"),
        materials=("Canvas", "Polyester"),
        usages=("Casual", "Travel"),
        branded=0.6,
    ),
    Kind(
        "Caps",
        "Cap",
        ("Accessories", "Headwear"),
        "棒球帽",
        ("baseball cap", "鸭舌帽"),
        accessories.cap,
        (12, 39),
        patterns=("Solid", "Solid", "Checked", "Striped", "Colour Block"),
        materials=("Cotton", "Canvas"),
        usages=("Casual", "Sports"),
        branded=0.6,
    ),
    Kind(
        "Beanies",
        "Beanie",
        ("Accessories", "Headwear"),
        "针织帽",
        ("knit hat", "毛线帽"),
        accessories.beanie,
        (12, 39),
        traits={"Pom-pom": ("With Pom-pom", "No Pom-pom")},
        patterns=("Solid", "Striped", "Colour Block"),
        materials=("Wool",),
    ),
    Kind(
        "Sunglasses",
        "Sunglasses",
        ("Accessories", "Eyewear"),
        "太阳镜",
        ("shades", "墨镜"),
        accessories.sunglasses,
        (19, 159),
        traits={"Frame": ("Round", "Rectangle", "Aviator", "Cat Eye")},
        patterns=("Solid",),
        materials=("Acetate", "Alloy"),
        usages=("Casual", "Travel"),
    ),
    Kind(
        "Watches",
        "Watch",
        ("Accessories", "Timepieces"),
        "手表",
        ("wristwatch", "腕表"),
        accessories.watch,
        (49, 399),
        traits={"Strap": ("Leather", "Metal", "Rubber"), "Dial": ("Round", "Square")},
        patterns=("Solid",),
        materials=("Steel", "Alloy"),
        usages=("Casual", "Formal", "Sports"),
    ),
    Kind(
        "Belts",
        "Belt",
        ("Accessories", "Small Leather Goods"),
        "腰带",
        ("waist belt", "皮带"),
        accessories.belt,
        (15, 79),
        traits={"Buckle": ("Pin Buckle", "Plate Buckle")},
        colours=_LEATHER,
        patterns=("Solid",),
        materials=("Leather",),
        usages=("Casual", "Formal"),
    ),
    Kind(
        "Scarves",
        "Scarf",
        ("Accessories", "Neckwear"),
        "围巾",
        ("shawl", "披肩"),
        accessories.scarf,
        (15, 79),
        patterns=("Solid", "Solid", "Striped", "Checked", "Polka Dots", "Floral"),
        materials=("Wool", "Silk"),
    ),
    Kind(
        "Ties",
        "Tie",
        ("Accessories", "Neckwear"),
        "领带",
        ("necktie", "领结"),
        accessories.tie,
        (15, 69),
        patterns=("Solid", "Striped", "Checked", "Polka Dots", "Floral"),
        materials=("Silk",),
        genders=("Men",),
        usages=("Formal",),
    ),
    Kind(
        "Earrings",
        "Earrings",
        ("Accessories", "Jewellery"),
        "耳环",
        ("ear studs", "耳饰"),
        accessories.earrings,
        (9, 89),
        traits={"Style": ("Hoop", "Drop", "Stud"), "Metal": ("Gold", "Silver")},
        patterns=("Solid",),
        materials=("Alloy",),
        genders=("Women",),
        usages=("Casual", "Party"),
    ),
    Kind(
        "Mugs",
        "Mug",
        ("Home", "Kitchen"),
        "马克杯",
        ("coffee cup", "杯子"),
        home.mug,
        (7, 29),
        traits={"Shape": ("Straight", "Rounded")},
        patterns=(*_PATTERNS[:2], "Polka Dots", "Floral", "Colour Block", "Printed"),
        materials=("Ceramic",),
        genders=(),
        usages=("Home",),
        branded=0.6,
    ),
    Kind(
        "Lamps",
        "Lamp",
        ("Home", "Lighting"),
        "台灯",
        ("table lamp", "灯"),
        home.lamp,
        (25, 149),
        traits={"Shape": ("Drum", "Cone", "Globe")},
        patterns=("Solid", "Solid", "Striped", "Floral"),
        materials=("Linen", "Steel"),
        genders=(),
        usages=("Home",),
    ),
    Kind(
        "Chairs",
        "Chair",
        ("Home", "Furniture"),
        "椅子",
        ("dining chair", "餐椅"),
        home.chair,
        (49, 249),
        traits={"Back": ("Slatted", "Padded")},
        patterns=("Solid", "Solid", "Striped", "Checked"),
        materials=("Wood",),
        genders=(),
        usages=("Home",),
    ),
    Kind(
        "Cushions",
        "Cushion",
        ("Home", "Textiles"),
        "抱枕",
        ("throw pillow", "靠垫"),
        home.cushion,
        (12, 49),
        traits={"Shape": ("Square", "Round")},
        patterns=(*_PATTERNS, "Printed"),
        materials=("Cotton", "Linen"),
        genders=(),
        usages=("Home",),
        branded=0.2,
    ),
    Kind(
        "Vases",
        "Vase",
        ("Home", "Decor"),
        "花瓶",
        ("flower vase", "花器"),
        home.vase,
        (15, 99),
        traits={"Shape": ("Round", "Bottle", "Tube")},
        patterns=("Solid", "Solid", "Striped", "Floral", "Colour Block"),
        materials=("Ceramic",),
        genders=(),
        usages=("Home",),
    ),
    Kind(
        "Wall Clocks",
        "Wall Clock",
        ("Home", "Decor"),
        "挂钟",
        ("clock", "时钟"),
        home.clock,
        (19, 99),
        traits={"Shape": ("Round", "Square")},
        patterns=("Solid",),
        materials=("Wood", "Alloy"),
        genders=(),
        usages=("Home",),
    ),
)

KIND_OF: dict[str, Kind] = {kind.name: kind for kind in KINDS}


def ontology_names() -> dict[str, dict[str, object]]:
    """Names and synonyms of categories, properties and values, as `ontology.apply_names` reads them."""
    leaves = {kind.name: Name(kind.name, kind.zh, (kind.singular, *kind.synonyms)) for kind in KINDS}
    return {
        "categories": {name: _entry(entry) for name, entry in {**CATEGORY_NAMES, **leaves}.items()},
        "properties": {
            name: {**_entry(entry), "values": {value.en: _entry(value) for value in VALUES[name]}}
            for name, entry in PROPERTY_NAMES.items()
        },
    }


def _entry(name: Name) -> dict[str, object]:
    return {"en": name.en, "zh": name.zh, "synonyms": [s for s in name.synonyms if s != name.en]}


def properties_of(kind: Kind) -> list[str]:
    """The properties products of this type have, visible ones first."""
    worn = ["Gender", "Season"] if kind.genders else []
    return [*visible_properties(kind), "Material", *worn, "Usage", "Brand"]


def visible_properties(kind: Kind) -> list[str]:
    """Those that any picture of such a product shows."""
    return ["Colour", *(["Pattern"] if len(set(kind.patterns)) > 1 else []), *kind.traits]
