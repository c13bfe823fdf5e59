"""The main job on the built-in catalog: draw a shop, adapt the bundled model to it, tag, index, search, show."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from shopvl.adapt import SCORES, adapt
from shopvl.catalog.images import image_bytes
from shopvl.catalog.readers import Catalog, open_catalog
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN
from shopvl.design.design import Design
from shopvl.errors import ShopvlError
from shopvl.inference.ask import Product, sentences
from shopvl.inference.decide import NOT_APPLYING, REASONS
from shopvl.paths import SHIPPED
from shopvl.reporting.page import Chip, Figure, FoundProduct, Page, ProductCard
from shopvl.search import Plan, SearchIndex, Settings, build_index
from shopvl.search.tune import FEWEST, tune_settings
from shopvl.synthetic import write_shop
from shopvl.tagging.run import Tagged, tag

PICTURE_PX = 96
FIRST_PRODUCTS = 6
QUERIES = (
    "red dress",
    "black sneakers",
    "striped t-shirt",
    "brown handbag",
    "blue jeans",
    "sunglasses",
    "white mug",
    "连衣裙",
)
SHOWN_PRODUCTS, SHOWN_HITS = 18, 8
BOTH = "image+title"

Report = Callable[..., None]  # stage, share done, a line of figures


def first_answers(out: Path, seed: int = 0) -> Iterator[str]:
    """What the bundled model says about a few drawn products, two lines each."""
    table = write_shop(out / "first", FIRST_PRODUCTS, seed=seed + 1, size_px=PICTURE_PX)
    design = Design.from_pretrained(SHIPPED)
    answers = None
    for row in pl.read_parquet(table).iter_rows(named=True):
        product = Product(design, image_bytes(row["image"], table.parent), row["title"], answers)
        answers = product.answers
        replies = product.replies()
        answers_text = "; ".join(sentences([replies[name] for name in product.applicable(replies)]))
        yield f"{row['title']}\n  by its picture and title: {answers_text}"


def run_demo(
    out: Path,
    *,
    products: int,
    minutes: float,
    seed: int = 0,
    report: Report = lambda stage, share, line="": None,
) -> Path:
    """Do the whole job in `out` and return the page to look at.

    In `out`: the shop, `model/` with its scores, `tags/`, `index/`, and `report.html`.
    """
    table = write_shop(
        out / "shop",
        products,
        seed=seed,
        size_px=PICTURE_PX,
        workers=min(2, os.cpu_count() or 1),
        progress=lambda done: report("draw", done / products),
    )
    names = table.with_name("ontology_names.json")
    done = adapt(str(table), SHIPPED, out / "model", minutes=minutes, names=names, seed=seed, report=report)
    design = Design.from_pretrained(out / "model")
    test = open_catalog(table, split="test")
    total = test.count()
    tagged = tag(design, test, out / "tags", report=lambda rows: report("tag", rows / total))
    plan = Plan(settings=search_settings(design, open_catalog(table, split="val"), report))
    build_index(design, test, out / "index", lambda rows: report("index", rows / total), plan=plan)
    index = SearchIndex(out / "index", design)
    category = next(ability for ability in done.abilities if ability.name == CATEGORY)
    return demo_page(test, out / "tags" / "tags.parquet", index, tagged, category.accuracy).write(out / "report.html")


def search_settings(design: Design, held_out: Catalog, report: Report) -> Settings:
    """As they are chosen on these products; the usual ones, which refuse no query, where a tiny shop has too few."""
    count = held_out.count()
    if count < FEWEST:
        return Settings()
    return tune_settings(design, held_out, report=lambda rows: report("choose", rows / count))


def demo_parts(folder: Path) -> dict[str, Path]:
    """What `run_demo` left in a folder, as `AppService.open` takes it. Raises ShopvlError if it did not end there."""
    parts = {
        "model": folder / "model",
        "catalog": folder / "shop" / "catalog.parquet",
        "names": folder / "shop" / "ontology_names.json",
        "index": folder / "index",
        "tags": folder / "tags",
    }
    if missing := [str(path) for path in parts.values() if not path.exists()]:
        raise ShopvlError(
            f"there is no finished demo in {folder} ({missing[0]} is missing); name a --model, "
            "or write `shopvl app --demo`, which makes the demo first (a few minutes)"
        )
    return parts


def demo_page(catalog: Catalog, tags: Path, index: SearchIndex, tagged: Tagged, category: float) -> Page:
    """What a newcomer looks at: decisions, tagged products, searches, and the accuracy of `category`; the other figures
    are on a page of their own."""
    answers = pl.read_parquet(tags).filter(pl.col("reason") != REASONS[NOT_APPLYING])  # a mug has no sleeves to ask for
    decided = Counter(answers["decision"].to_list())
    page = Page(
        "A shop, understood",
        f"{tagged.tagged:,} products the model had never seen, tagged and searchable",
        facts={
            "data": "the built-in synthetic shop, split test",
            "model": index.design.name,
            "every figure": f"model/{SCORES}/report.html beside this page",
        },
    )
    page.cards(
        [
            _share("answers accepted", decided["accept"], decided.total()),
            _share("for a person to look at", decided["review"], decided.total()),
            _share("unknown", decided["unknown"], decided.total()),
            Figure(value=f"{category:.1%}", label="category right", share=category),
            Figure(value=str(tagged.conflicts), label="picture and title disagree", note="possible listing errors"),
        ]
    )
    page.section("Tagged products", "Every answer has a probability, a decision and its reason.")
    page.gallery(_products(catalog, tags))
    page.section("Search", "The nearest products to the words, in the space that pictures, titles and queries share.")
    for query in QUERIES:
        hits = index.search(query, k=SHOWN_HITS)
        page.search_strip(
            query, [FoundProduct(image=hit.thumbnail, caption=hit.title, score=hit.score) for hit in hits]
        )
    return page


def _share(label: str, count: int, total: int) -> Figure:
    share = count / max(total, 1)
    return Figure(value=f"{share:.0%}", label=label, note=f"{count:,} of {total:,}", share=share)


def _products(catalog: Catalog, tags: Path) -> list[ProductCard]:
    chips: dict[str, list[Chip]] = defaultdict(list)
    for row in pl.read_parquet(tags).iter_rows(named=True):
        if row["value"] is None:  # the category does not have that property
            continue
        chip = Chip(
            name=row["property"],
            value=row["value"].split(CATEGORY_JOIN)[-1],
            probability=row["probability"],
            decision=row["decision"],
            conflict=row["conflict"],
        )
        chips[row["product_id"]].append(chip)
    first = next(catalog.batches()).head(SHOWN_PRODUCTS)
    return [
        ProductCard(title=row["title"], image=image_bytes(row["image"], catalog.root), chips=chips[row["product_id"]])
        for row in first.iter_rows(named=True)
    ]
