"""Pictures as people write them, and as files come: read, or rejected with what is wrong with this one."""

import base64
import io
import json
import os
import unicodedata

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageCms

from shopvl.catalog.cells import BadCell
from shopvl.catalog.images import decode, image_bytes
from shopvl.catalog.notes import ReadingNotes
from shopvl.catalog.picture_cells import NOT_PLAIN, PLAIN, picture_of
from shopvl.catalog.readers import open_catalog
from shopvl.errors import ImageError


def encoded(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def photo(size: int = 64) -> Image.Image:
    """Noise around a dark thing, so that nobody takes it for a placeholder."""
    rng = np.random.default_rng(0)
    pixels_YX3 = rng.integers(150, 255, (size, size, 3), dtype=np.uint8)
    pixels_YX3[size // 4 : -size // 4, size // 4 : -size // 4] //= 3
    return Image.fromarray(pixels_YX3)


PNG = encoded(Image.new("RGB", (8, 8), "red"))
B64 = base64.b64encode(PNG).decode()
A, B = "pics/a.jpg", "https://cdn.example/b.jpg?w=1,2"


@pytest.mark.parametrize(
    ("cell", "path"),
    [
        *[
            (A, A),
            (f"  {A}\n", A),
            (B, B),
            ("robe été.jpg", "robe été.jpg"),
            ("a,b.jpg", "a,b.jpg"),
            ("x;y.png", "x;y.png"),
        ],
        *[(f"{A},pics/x.jpg", A), (f"{A}, pics/x.jpg", A), (f"{A}|{B}", A), (f"{A};x.png", A), (f"{A} x.png", A)],
        *[(f"{A}\nx.png", A), (f"{B},https://c.example/2", B), (f"{B} https://c.example/2", B), (f"|{A}", A)],
        *[("https://res.example/w_200,h_300/x.jpg", "https://res.example/w_200,h_300/x.jpg")],
        *[(json.dumps([A, B]), A), (str([A, B]), A), (f"[{A}, x.png]", A), (json.dumps([{"src": A}]), A)],
        *[
            (json.dumps({"bytes": None, "path": A}), A),
            ({"contentUrl": A}, A),
            ({"@type": "ImageObject", "url": [A]}, A),
        ],
        *[([None, "", {"src": A}], A), ({"image": {"url": A}}, A), (f'"{A}"', A), (f"'{B}'", B), (f"<{B}>", B)],
        *[
            (f'<img alt="x" src="{A}">', A),
            (f"<p><a href='{B}'>x</a></p>", B),
            (f"![x]({A})", A),
            (f"[img]{B}[/img]", B),
        ],
        *[(f'=IMAGE("{B}")', B), (f'=HYPERLINK("{B}";"x")', B), (f'=_xlfn.IMAGE("{B}", "alt")', B)],
        *[("//cdn.example/a.jpg", "https://cdn.example/a.jpg"), ("www.x.example/a.jpg", "https://www.x.example/a.jpg")],
        *[(f"{B}<br/>https://c.example/2", B), (f"{B}\\nhttps://c.example/2", B), ("a.jpg / b.jpg", "a.jpg")],
        *[("nan;a.jpg", "a.jpg"), ("{a.jpg,b.jpg}", "a.jpg"), ("['a.jpg' 'b.jpg']", "a.jpg"), ("(a.jpg)", "a.jpg")],
        *[
            ("array(['a.jpg', 'b.jpg'], dtype=object)", "a.jpg"),
            (f"http://{B}", B),
            (f"'{B}", B),
            (f"Main image: {B}", B),
        ],
        *[(f"url={B}", B), (f"background: url('{B}')", B), (f'="{B}"', B), (f"&lt;img src=&quot;{B}&quot;&gt;", B)],
        *[(f"<img alt='src=x' data-src='{B}' src='blank.gif'>", B), (f"<source srcset='{B} 2x, c.jpg 1x'>", B)],
        *[({"Src": A}, A), ({"de": A, "alt": "x"}, A), ({"images": [{"src": A}]}, A), ({"sizes": {"large": A}}, A)],
        *[(f"8c1a:1:0:|{B};9d2b:1:1:|https://c.example/2;", B)],
        *[("file:///C:/a.jpg", "C:/a.jpg"), ("blob:https://x.example/1", "blob:https://x.example/1")],
        *[(word, None) for word in ("TBD", "#NAME?", "no picture", "—", "(blank)", "无", "0")],
        *[(r"https:\/\/x.example\/a.jpg", "https://x.example/a.jpg"), ("https:/x.example/a", "https://x.example/a")],
        *[(r"http://x.example\a\b.jpg", "http://x.example/a/b.jpg"), ("HTTP://x.example/a", "http://x.example/a")],
        *[("https://x.example/a?b=1&amp;c=2", "https://x.example/a?b=1&c=2")],
        *[(word, None) for word in ("nan", "NULL", "None", "N/A", "-", "", None, [], {}, {"bytes": None, "path": ""})],
    ],
)
def test_where_a_picture_is(cell, path):
    assert (picture_of(cell) or {"path": None})["path"] == path


@pytest.mark.parametrize(
    "cell",
    [
        *[
            B64 * 1,
            f"data:image/png;base64,{B64}",
            f"data:;base64,{B64}",
            repr(PNG),
            {"bytes": B64},
            {"data": B64},
            PNG,
        ],
        *[
            {"base64": f"data:image/png;base64,{B64}"},
            json.dumps([{"bytes": B64}]),
            base64.urlsafe_b64encode(PNG).decode(),
        ],
    ],
)
def test_a_picture_itself(cell):
    if isinstance(cell, str) and cell.startswith("iVB") and not cell.isalnum():
        cell = cell.replace("-", "+").replace("_", "/")
    assert picture_of(cell) == {"bytes": PNG, "path": None}


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ({"medium_size": {"w": 3}, "alt": "x"}, "a picture as an object with medium_size, alt; bytes, path, url"),
        ("[{]", "begins like a list, object or bytes but is none"),
        ("[object Object]", "is what a program writes for a list that it does not spell out"),
        ("b'\\xff", "begins like a list"),
        ("data:text/html,<p>", "a data: address that holds text/html"),
        ("data:image/png;base64,%%%", "a data: address is not base64"),
        ("=A1&B1", "a formula without an address in quotes: '=A1&B1'; save the table with its values"),
        ("<b>red</b>", "HTML without the address of a picture"),
        ({"bytes": 3}, "the picture's bytes are a int"),
    ],
)
def test_what_is_no_picture_says_why(cell, reason):
    with pytest.raises(BadCell, match=reason.replace("[", r"\[")):
        picture_of(cell)


def test_each_guess_is_said_once_with_an_example(tmp_path):
    lines = [f"{A};x.png", "https://cdn.example/b.jpg;y.png", "nan", "//cdn.example/a.jpg", f'"<img src=""{A}"">"']
    (tmp_path / "t.tsv").write_text("id\ttitle\timage\n" + "".join(f"{n}\tt\t{line}\n" for n, line in enumerate(lines)))
    catalog = open_catalog(tmp_path / "t.tsv")
    frame = pl.concat(catalog.batches(2))
    assert [image and image["path"] for image in frame["image"]] == [
        A,
        B.split("?")[0],
        None,
        "https://cdn.example/a.jpg",
        A,
    ]
    assert list(catalog.source.notes) == [
        "of several pictures in a cell the first is the main one, e.g. 'pics/a.jpg'",
        "'nan' for a picture is read as none",
        "the address '//cdn.example/a.jpg' is read as 'https://cdn.example/a.jpg'",
        "a picture is taken out of what stands around it, e.g. 'pics/a.jpg' of '<img src=\"pics/a.jpg\">'",
    ]


def test_plain_cells_are_what_the_long_way_makes_of_them():
    cells = [
        A,
        B.split(",")[0],
        "a b.jpg",
        "x.HEIC",
        "www.x.jpg",
        "nan",
        "a|b.jpg",
        "//x/y.jpg",
        "data:image/png,x",
        "x",
    ]
    plain = pl.Series(cells)
    for cell, is_plain in zip(cells, plain.str.contains(PLAIN) & ~plain.str.contains(NOT_PLAIN), strict=True):
        notes = ReadingNotes.silent()
        if is_plain:
            assert (picture_of(cell, notes.add), len(notes)) == ({"bytes": None, "path": cell}, 0)
    assert (plain.str.contains(PLAIN) & ~plain.str.contains(NOT_PLAIN)).sum() == 3


@pytest.mark.parametrize(
    "written",
    [
        *["pics/IMG.JPG", "./pics/IMG.JPG", "pics\\IMG.JPG", "Pics/img.jpg", "/pics/IMG.JPG", "pics/IMG.JPG?v=3"],
        *["pics/robe été.jpg", unicodedata.normalize("NFD", "pics/robe été.jpg"), "pics/robe%20%C3%A9t%C3%A9.jpg"],
        *["PICS/ROBE ÉTÉ.jpg", "pics/../pics/img.JPG"],
    ],
)
def test_the_file_that_is_meant(tmp_path, written):
    (tmp_path / "pics").mkdir()
    for name in ("IMG.JPG", "robe été.jpg"):
        (tmp_path / "pics" / name).write_bytes(PNG)
    assert image_bytes({"bytes": None, "path": written}, tmp_path) == PNG


def test_a_file_that_is_not_there_says_what_may_be_meant(tmp_path):
    for written, hint in (
        (r"C:\shop\a.jpg", "a place on another computer; put the pictures beside the table"),
        ("cdn.shop.example/a.jpg", "https:// has to stand before it"),
        ("a.jpg", "there is no file .*a.jpg$"),
    ):
        with pytest.raises(ImageError, match=hint):
            image_bytes({"path": written}, tmp_path)
    (tmp_path / "late.jpg").write_bytes(PNG)
    os.utime(tmp_path, (1, 1))
    assert image_bytes({"path": "LATE.jpg"}, tmp_path) == PNG


# --- decoding


def test_colours_follow_their_profile():
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    assert decode(encoded(Image.new("RGB", (9, 9), "red"), icc_profile=own.tobytes())).getpixel((4, 4)) == (255, 0, 0)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert decode(encoded(Image.new("RGB", (9, 9), (9, 99, 9)), icc_profile=srgb)).getpixel((4, 4)) == (9, 99, 9)
    swapped = swapped_profile(srgb)
    red, green, _ = decode(encoded(Image.new("RGB", (9, 9), "red"), icc_profile=swapped)).getpixel((4, 4))
    assert green > 200 > red
    assert decode(encoded(Image.new("RGBA", (9, 9), (255, 0, 0, 255)), icc_profile=swapped)).getpixel((4, 4))[1] > 200
    assert decode(encoded(Image.new("RGB", (9, 9), "red"), icc_profile=b"no profile")).getpixel((4, 4)) == (255, 0, 0)


def swapped_profile(srgb: bytes) -> bytes:
    """A profile under which red is shown as green: sRGB with two of its colourants exchanged, and another name."""
    return (
        srgb.replace(b"rXYZ", b"tmp ")
        .replace(b"gXYZ", b"rXYZ")
        .replace(b"tmp ", b"gXYZ")
        .replace(b"s\0R\0G\0B", b"x\0x\0x\0x")
    )


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_jpeg_that_lacks_its_last_bytes_is_read_with_a_note(options):
    data = encoded(photo(256), "JPEG", **options)
    whole, cut = decode(data), decode(data[:-200])
    assert "cut off" in cut.info["note"]
    assert "note" not in whole.info
    assert np.abs(np.asarray(whole, int) - np.asarray(cut, int))[:180].mean() < 12
    assert decode(data[:-2]).size == (256, 256)
    with pytest.raises(ImageError, match=r"cut off: only|damaged or cut off"):
        decode(encoded(photo(256), "JPEG")[:9000])
    with pytest.raises(ImageError, match="damaged or cut off"):
        decode(encoded(photo(256))[:-500])


def test_what_is_white_shows_on_a_transparent_ground():
    white, dark = Image.new("RGBA", (40, 40), (0, 0, 0, 0)), Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    white.paste((250, 250, 250, 255), (10, 10, 30, 30))
    dark.paste((10, 10, 10, 255), (10, 10, 30, 30))
    for picture, ground in ((white, 96), (dark, 255)):
        for kind in ("PNG", "WEBP"):
            assert (
                decode(encoded(picture, kind, **({"lossless": True} if kind == "WEBP" else {}))).getpixel((1, 1))
                == (ground,) * 3
            )
    whole = Image.new("RGBA", (40, 40), (250, 250, 250, 255))  # an alpha channel of which nothing is made
    assert decode(encoded(whole)).getpixel((1, 1)) == (250, 250, 250)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_is_a_frame_that_shows_something(kind):
    blank, shows = Image.new("RGB", (64, 64), "white"), photo()
    data = encoded(blank, kind, save_all=True, append_images=[blank, shows, blank], duration=99)
    assert np.ptp(np.asarray(decode(data).convert("L"))) > 90
    assert decode(encoded(blank, kind, save_all=True, append_images=[Image.new("RGB", (64, 64), "grey")])).size == (
        64,
        64,
    )


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"\xff\x0a" + bytes(40), "JPEG XL"),
        (b"\x00\x00\x00\x0cJXL \x0d\x0a\x87\x0a", "JPEG XL"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"PK\x03\x04" + bytes(40), "zip"),
    ],
)
def test_kinds_that_are_not_read_are_named(data, named):
    with pytest.raises(ImageError, match=named):
        decode(data)


def test_photos_of_phones():
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
    out = io.BytesIO()
    pillow_heif.from_pillow(photo()).save(out, quality=90)
    assert decode(out.getvalue()).size == (64, 64)


def test_endings_of_pictures(tmp_path):
    (tmp_path / "shop").mkdir()
    for name in ("a.jfif", "b.jpe", "c.svg", "d.jxl", "e.heic", "f.JPG", "notes.txt"):
        (tmp_path / "shop" / name).write_bytes(encoded(photo(), "JPEG"))
    frame = pl.concat(open_catalog(tmp_path / "shop").batches())
    assert frame["product_id"].to_list() == ["a", "b", "c", "d", "e", "f"]


@pytest.mark.parametrize("piece", ["<", "x ", "a,", "src=", "[", "![x](", "<img src ", "data:;a", '=IMAGE("'])
def test_long_cells_that_are_no_picture_cost_little(piece):
    with pytest.raises(BadCell):
        picture_of(piece * (1_000_000 // len(piece)))  # what tries every beginning would take minutes
