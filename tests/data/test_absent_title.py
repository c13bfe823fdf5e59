"""What is no title, and what is one however odd it looks."""

import pytest

from shopvl.catalog.ontology import Category, Ontology, Property, Value
from shopvl.data.absent_title import TitleCheck
from shopvl.text.tokenizer import Tokenizer

PATHS = [("Apparel", "Topwear", "Shirts"), ("Apparel", "Dress", "Dresses"), ("Footwear", "Shoes", "Casual Shoes")]
PATHS += [("Accessories", "Bags", "Handbags"), ("Accessories", "Watches", "Watches"), ("Accessories", "Ties", "Ties")]
COLOURS = ("Red", "Blue", "Green", "White", "Black", "Yellow", "Navy Blue")
ONTOLOGY = Ontology(
    categories=tuple(
        Category(path=path) for path in sorted({path[:depth] for path in PATHS for depth in range(1, len(path) + 1)})
    ),
    properties=(
        Property(id="colour", values=tuple(Value(id=value) for value in COLOURS)),
        Property(id="gender", values=(Value(id="Men"), Value(id="Women"), Value(id="Unisex"))),
    ),
)
CHECK = TitleCheck(ONTOLOGY, Tokenizer.learn(["red shirt", "连衣裙鞋", "kurta 1 2 3", "schöne hose"], 200))

PLACEHOLDERS = ["nan", "NaN", "null", "N/A", "n/a", "None", "untitled", "Untitled-1", "title", "No title", "Product 12"]
PLACEHOLDERS += [
    "-",
    "--",
    "?",
    "...",
    "👗👠",
    "#N/A",
    "<p></p>",
    "&nbsp;",
    "XL",
    "Size 42",
    "ohne Titel",
    "暂无",
    "12",
]
CODES = ["AB-12345-XL", "8901234567890", "B07XJ8C8F5", "SKU: 12345", "sku-99812-blk", "QX-BLK-TRZ", "A123"]
CODES += ["3f2a9c1e-77b0-4e1c-9a55-2b2f0d1c9e11", "xK9dLmQ2vPz"]
FILES = ["IMG_2034.jpg", "IMG 2034", "DSC00012", "DSC_0012.NEF", "photo (3).png", "Scan0001.pdf", "20240101_123456"]
FILES += ["WhatsApp Image 2024-01-03 at 12.33.44", "Screenshot_20240501-101112_Chrome.jpg", "IMG-20240101-WA0012"]
FILES += ["Captura de pantalla 2024-01-01", "download (1).jpg", "unnamed.png", "微信图片_20240101", "P1010001.JPG"]
ADDRESSES = ["https://shop.example/red-shirt", "www.shop.com", "shop.example.com/p/12"]
ADVERTISING = ["sale cheap best price buy online", "Free shipping!"]
LISTS = [
    "shoes shirt bag watch men women red blue green sale cheap best price",
    "shirts, dresses, casual shoes, handbags, watches",
    "red blue green yellow black white",
    "men women shirt tie watch black blue red",
]
UNREADABLE = ["Сорочка з вирізом", "قميص أحمر", "ชุดเดรส XL"]
TITLES = [
    *("Kurta", "Red/Blue/White check shirt", "Pack of 3 red, blue, green and white shirts for men and women", "鞋"),
    *(
        "1 Like No Other Men Shirt",
        "连衣裙",
        "H&M",
        "GAP",
        "T-shirt",
        "Shirt, tie and watch gift set black",
        "Crop Top",
    ),
    *("Levi's 501", "7 For All Mankind Jeans", "Nike Air Max 90", "U.S. Polo Assn. Shirt", "schöne Hose", "Red"),
    *(
        "red-cotton-shirt.jpg",
        "SHIRT-1234-RED",
        "Men's 3-Pack Socks",
        "Сорочка shirt",
        "Test Match Cricket Bat",
        "Crop Top",
    ),
    *("Navy Blue and White Striped Women Dress with Red Belt", "Crop Top"),
]


@pytest.mark.parametrize(
    ("titles", "reason"),
    [
        (PLACEHOLDERS, "is a placeholder|has no words|is a number|names no product"),
        (CODES, "is an article number|is a number|is a placeholder"),
        (FILES, "is a file name|is a number"),
        (ADDRESSES, "is a web address"),
        (ADVERTISING, "names no product"),
        (LISTS, "is a list of keywords"),
        (UNREADABLE, "has no word that the model can read"),
    ],
    ids=["placeholders", "codes", "files", "addresses", "advertising", "lists", "unreadable"],
)
def test_what_is_no_title_says_why(titles: list[str], reason: str) -> None:
    faults = {title: CHECK.fault(title) for title in titles}
    assert not [title for title, fault in faults.items() if not fault]
    for title, fault in faults.items():
        assert fault.startswith("the title ")
        assert fault.endswith(tuple(f" {end}" for end in reason.split("|"))), fault
        assert CHECK.fault(f"  {title.upper()} ")
        assert CHECK.fault(title.lower())


@pytest.mark.parametrize("title", TITLES)
def test_real_titles_stay(title: str) -> None:
    assert CHECK.fault(title) == ""


def test_without_a_model_only_what_no_model_can_read_is_none() -> None:
    check = TitleCheck()
    assert check.fault("nan")
    assert check.fault("IMG_2034.jpg")
    assert not any(check.fault(title) for title in [*LISTS, *UNREADABLE, *TITLES])


def test_a_long_title_is_cut_in_the_note() -> None:
    assert len(TitleCheck().fault("9" * 5000)) < 80
