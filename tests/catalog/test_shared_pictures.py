"""One picture under many products shows none of them; colours and sizes of one product share theirs rightly."""

from pathlib import Path

import polars as pl
import pytest

from shopvl.catalog.readers import Catalog, open_catalog
from shopvl.catalog.shared_pictures import picture_digest, shared_pictures

DIFFERENT = ["Puma men black running shoes", "Fossil watch steel", "Red cotton kurta", "Leather wallet brown"]
DIFFERENT += ["Levis blue jeans", "Ray-Ban aviator sunglasses"]
VARIANTS = [f"Turtle check men {colour} shirt" for colour in ("red", "blue", "green", "white", "black", "navy", "grey")]
PICTURE, OTHER = b"a picture", b"another one"


def table(folder: Path, rows: list[tuple[str, bytes | str, str | None]]) -> Catalog:
    """A catalog of (title, picture or its path, category)."""
    frame = pl.DataFrame(
        {
            "product_id": [f"p{number}" for number in range(len(rows))],
            "title": [title for title, _, _ in rows],
            "image": [
                {
                    "bytes": image if isinstance(image, bytes) else None,
                    "path": image if isinstance(image, str) else None,
                }
                for _, image, _ in rows
            ],
            "category_path": [[category] if category else None for _, _, category in rows],
        },
        schema_overrides={
            "image": pl.Struct({"bytes": pl.Binary, "path": pl.String}),
            "category_path": pl.List(pl.String),
        },
    )
    folder.mkdir(exist_ok=True)
    frame.write_parquet(folder / "shop.parquet")
    return open_catalog(folder / "shop.parquet")


def test_a_picture_under_different_products_is_found_in_any_order(tmp_path: Path) -> None:
    rows = [(title, PICTURE, None) for title in DIFFERENT] + [(title, OTHER, None) for title in VARIANTS]
    expected = {picture_digest(PICTURE)}
    assert shared_pictures(table(tmp_path / "a", rows)) == expected
    assert shared_pictures(table(tmp_path / "b", rows[::-1])) == expected


@pytest.mark.parametrize(
    "titles",
    [
        DIFFERENT[:4],
        DIFFERENT[:1] * 9,
        VARIANTS,
        ["红色连衣裙", "蓝色连衣裙", "绿色连衣裙", "白色连衣裙", "黑色连衣裙"],
    ],
)
def test_variants_and_a_few_products_may_share_a_photo(titles: list[str], tmp_path: Path) -> None:
    assert not shared_pictures(table(tmp_path, [(title, PICTURE, None) for title in titles]))


def test_where_categories_are_stated_they_have_to_differ(tmp_path: Path) -> None:
    same = [(title, PICTURE, "Shirts") for title in DIFFERENT]
    assert not shared_pictures(table(tmp_path / "a", same))
    several = [(title, PICTURE, title.split()[-1]) for title in DIFFERENT]
    assert shared_pictures(table(tmp_path / "b", several)) == {picture_digest(PICTURE)}


def test_copies_in_files_and_one_address_count_as_one_picture(tmp_path: Path) -> None:
    for number in range(len(DIFFERENT)):
        (tmp_path / f"{number}.jpg").write_bytes(PICTURE)
    files = [(title, f"{number}.jpg", None) for number, title in enumerate(DIFFERENT)]
    assert shared_pictures(table(tmp_path, files)) == {picture_digest(PICTURE)}
    address = "https://shop.example/none.jpg"
    assert shared_pictures(table(tmp_path, [(title, address, None) for title in DIFFERENT])) == {
        picture_digest(address)
    }


def test_files_of_one_size_are_not_one_picture(tmp_path: Path) -> None:
    for number in range(len(DIFFERENT)):
        (tmp_path / f"{number}.jpg").write_bytes(f"picture {number}".encode())
    files = [(title, f"{number}.jpg", None) for number, title in enumerate(DIFFERENT)]
    assert not shared_pictures(table(tmp_path, [*files, ("nothing there", "gone.jpg", None)]))
