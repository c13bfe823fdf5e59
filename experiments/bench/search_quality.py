"""How well search finds: dense, lexical, hybrid and re-ranked, on queries with more than one right answer.

The indexed products come without categories and values: only pictures, titles, and tags that a model wrote. The hidden
categories and values make the queries and are the truth. Settings are chosen on the validation split.

    python experiments/bench/search_quality.py --data DIR --model runs/tagger --work runs/search \
        --out experiments/results/search_quality.json [--matcher runs/vilt/design]
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from PIL import Image

from shopvl.batch import MODALITIES
from shopvl.catalog.cells import folded
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.queries import facts_named
from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design
from shopvl.metrics.intervals import paired_bootstrap
from shopvl.reporting.page import FoundProduct as Shown
from shopvl.reporting.page import Page
from shopvl.search import Plan, SearchIndex, Settings, build_index
from shopvl.search.out_of_catalog import out_of_catalog_queries
from shopvl.search.tune import GeneratedQuery, made_queries, tune_settings
from shopvl.tagging.run import tag
from shopvl.tracking.provenance import write_result

DEPTH = 10
QUERIES, COMPOSED, PICTURES = 500, 300, 500
Ranker = Callable[[str], list[int]]

# Written by hand, and no part of what the cut-off learned from.
OUT_OF_CATALOG = """
toaster|electric kettle|lawn edger|chainsaw oil|refrigerator|tumble dryer|hair dryer|induction hob|coffee beans
almond flour|salmon fillet|instant noodles|peanut butter|baby wipes|cat scratching post|aquarium heater
hamster cage|horse saddle|gaming console|router antenna|hdmi splitter|power bank|drone with camera
smart tv 55 inch|projector screen|vinyl records|electric piano|ukulele|trumpet mouthpiece|saxophone reeds
sheet music|bunk bed|wardrobe with mirror|coffee table|kitchen cabinet|shower head|toilet seat|ceramic tiles
wallpaper paste|roof shingles|cement mixer|wheelbarrow|garden gnome|rose bush|tomato seedlings|compost bin
chicken coop|inflatable kayak|climbing rope|scuba tank|hockey stick|bowling pins|badminton net|table tennis bat
trampoline|exercise bike|protein powder|multivitamins|insulin pump|hearing aid|wheelchair|crutches|thermometer
stethoscope|first aid kit|fire extinguisher|smoke alarm|padlock|safe deposit box|solar panel|wind turbine
diesel generator|extension lead|light bulb|chandelier|ceiling fan|space heater|humidifier|water softener|gearbox
brake pads|exhaust pipe|motorcycle helmet visor|tractor|caravan awning|boat trailer|bicycle chain|tow bar
tax advice|plumber near me|bus to oxford|cheap flights to rome|cinema listings|divorce lawyer|wedding venue
piano tuner|how to boil an egg|capital of france|python tutorial|exchange rate euro|football scores
translate hello|洗衣粉|空调|电视机|牛奶|洗碗机|轮胎|汽油|猫粮
"""


def main() -> None:
    """Run everything and write JSON and Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--data", "--model", "--work", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--matcher", type=Path)
    told = parser.parse_args()
    torch.set_num_threads(1)
    table = told.data / "fashion-products-small.parquet"
    bench = Bench(Design.from_pretrained(told.model), table, told.work)
    matcher = Design.from_pretrained(told.matcher) if told.matcher else None
    parts: dict[str, Callable[[], Any]] = {
        "attribute_queries": lambda: bench.attribute_queries(matcher),
        "title_queries": bench.title_queries,
        "composed, pictures from elsewhere": lambda: bench.composed(bench.others),
        "composed, pictures of the index": lambda: bench.composed(bench.rows),
        "cut_off": bench.nothing,
        "hidden_from_the_title": bench.hidden,
        "image_queries": bench.image_queries,
    }
    figures: dict[str, Any] = {
        "data": "Fashion Product Images, 60x80 px, split test, without categories and values",
        "products": len(bench.rows),
        "settings": bench.settings.model_dump(by_alias=True),
    }
    for name, part in parts.items():  # what is measured is kept, whatever comes of the rest
        figures[name] = part()
        write_result(told.out, figures, model=bench.design.name, data=[table], table=markdown(figures))
    bench.page().write(told.work / "queries.html")


class Bench:
    """The test split as an index of pictures, titles and tags, and its truth."""

    def __init__(self, design: Design, table: Path, work: Path) -> None:
        self.design, self.work = design, work
        self.ontology: Ontology = design.ontology
        for split in ("val", "test"):
            self._bare(table, split)
        truth = pl.read_parquet(table).filter(pl.col("split") == "test")
        self.settings = self._settings(table)
        self.index = self._index("test", self.settings, "tags-test")
        # without tags: what a shop has before anything was tagged
        self.untagged = self._index("test", self.settings, None)
        self.others = pl.read_parquet(table).filter(pl.col("split") == "val").to_dicts()
        by_id = {row["product_id"]: row for row in truth.iter_rows(named=True)}
        self.rows = [by_id[product_id] for product_id in self.index.products["product_id"]]

    def _bare(self, table: Path, split: str) -> None:
        """The split without its categories and values; and with titles that say nothing the ontology has a name for."""
        self.work.mkdir(parents=True, exist_ok=True)
        whole = pl.read_parquet(table).filter(pl.col("split") == split)
        bare = whole.drop("category_path", "attributes")
        bare.write_parquet(self.work / f"{split}.parquet")
        silent = bare.with_columns(
            pl.col("title").map_elements(lambda title: silenced(title, self.ontology), return_dtype=pl.String)
        )
        silent.write_parquet(self.work / f"{split}-silent.parquet")
        for name, source, use in (("tags", split, MODALITIES), ("picture-tags", f"{split}-silent", MODALITIES[:1])):
            folder = self.work / f"{name}-{split}"
            if not (folder / "tags.parquet").is_file():
                tag(self.design, open_catalog(self.work / f"{source}.parquet"), folder, use=use)

    def _settings(self, table: Path) -> Settings:
        path = self.work / "settings.json"
        if not path.is_file():
            chosen = tune_settings(self.design, open_catalog(table, split="val"), tags=self.work / "tags-val")
            path.write_text(chosen.model_dump_json(by_alias=True), "utf-8")
        return Settings.model_validate_json(path.read_text("utf-8"))

    def _index(self, source: str, settings: Settings, tags: str | None) -> SearchIndex:
        folder = self.work / f"index-{source}-{tags or 'untagged'}"
        if not folder.is_dir():
            catalog = open_catalog(self.work / f"{source}.parquet")
            plan = Plan(settings=settings)
            build_index(self.design, catalog, folder, tags=self.work / tags if tags else None, plan=plan)
        return SearchIndex(folder, self.design)

    # --- the parts

    def attribute_queries(self, matcher: Design | None) -> dict[str, Any]:
        """Two and three constraints; every product that has all of them is right."""
        queries = made_queries(self.rows, self.ontology, count=QUERIES, constraints=(2, 3), seed=7)
        ways: dict[str, Ranker] = {
            "dense": self._by(self.index, "dense"),
            "lexical, title": self._by(self.untagged, "lexical"),
            "lexical, title + tags": self._by(self.index, "lexical"),
            "hybrid, no tags": self._by(self.untagged, "hybrid"),
            "hybrid": self._by(self.index, "hybrid"),
        }
        if matcher is not None:
            ways["hybrid, re-ranked"] = lambda text: self._rows(
                self.index, self.index.search(text, k=DEPTH, cut_off=False, matcher=matcher)
            )
        return self._table(ways, queries, against="hybrid")

    def hidden(self) -> dict[str, Any]:
        """Titles that name no category and no value: what is asked for can only be seen."""
        silent = self._index("test-silent", self.settings.model_copy(update={"title_weight": 0.0}), "picture-tags-test")
        plain = self._index("test-silent", self.settings.model_copy(update={"title_weight": 0.0}), None)
        queries = made_queries(self.rows, self.ontology, count=QUERIES, constraints=(2, 3), seed=7)
        ways: dict[str, Ranker] = {
            "lexical, title": self._by(plain, "lexical"),
            "lexical, title + picture's tags": self._by(silent, "lexical"),
            "picture (dense)": self._by(silent, "dense"),
            "hybrid with picture's tags": self._by(silent, "hybrid"),
        }
        return self._table(ways, queries, against="picture (dense)")

    def title_queries(self) -> dict[str, Any]:
        """Half of a title's words; every product with that title is right."""
        rng = random.Random(3)
        groups: dict[str, list[int]] = {}
        for place, row in enumerate(self.rows):
            groups.setdefault(folded(row["title"]), []).append(place)
        queries = []
        for title in rng.sample(sorted(groups), QUERIES):
            words = title.split()
            kept = sorted(rng.sample(range(len(words)), max(2, (len(words) + 1) // 2)))
            queries.append(GeneratedQuery(" ".join(words[n] for n in kept), (), np.array(groups[title])))
        ways = {name: self._by(self.index, name) for name in ("dense", "lexical", "hybrid")}
        return self._table(ways, queries, against="hybrid")

    def image_queries(self) -> dict[str, Any]:
        """A product's picture; every other product of its type and colour is right."""
        rng = random.Random(4)
        kinds = [(tuple(row["category_path"] or ()), value_of(row, "colour")) for row in self.rows]
        chosen = [n for n in rng.sample(range(len(self.rows)), 4 * PICTURES) if kinds.count(kinds[n]) > DEPTH][
            :PICTURES
        ]
        marks = []
        for n in chosen:
            found = self._rows(self.index, self.index.search(image=self.rows[n]["image"]["bytes"], k=DEPTH + 1))
            found = [row for row in found if row != n][:DEPTH]
            right = np.array([place for place, kind in enumerate(kinds) if kind == kinds[n] and place != n])
            marks.append(scored(found, right))
        return {"queries": len(chosen), "picture": mean(marks)}

    def composed(self, asking: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """ "Same but COLOUR" for pairs that at least ten products fit; right colour, same type, among the first ten."""
        rng = random.Random(5)
        types = [tuple(row["category_path"] or ()) for row in self.rows]
        colours = [value_of(row, "colour") for row in self.rows]
        there = Counter(zip(types, colours, strict=True))
        ways: dict[str, list[tuple[float, float, float]]] = {
            name: [] for name in ("composed", "image only", "words only")
        }
        asked = 0
        while asked < COMPOSED:
            shown = rng.choice(asking)
            own, kept = value_of(shown, "colour"), tuple(shown["category_path"] or ())
            choice = sorted(c for (t, c), count in there.items() if t == kept and c and c != own and count >= DEPTH)
            if not choice or own is None:
                continue
            asked += 1
            wanted = rng.choice(choice)
            picture = shown["image"]["bytes"]
            words = f"{wanted.lower()} {kept[-1].lower()}"
            found = {
                "composed": self.index.search(wanted.lower(), picture, k=DEPTH),
                "image only": self.index.search(None, picture, k=DEPTH),
                "words only": self.index.search(words, k=DEPTH, cut_off=False),
            }
            for name, result in found.items():
                rows = self._rows(self.index, result)
                colour = np.array([colours[row] == wanted for row in rows])
                kind = np.array([types[row] == kept for row in rows])
                ways[name].append((colour.mean(), kind.mean(), (colour & kind).mean()))
        names = ("colour right", "same type", "both")
        return {
            "queries": asked,
            "about": "the words are the colour alone; 'words only' is told the true type as well",
            **{way: dict(zip(names, map(float, np.mean(marks, axis=0)), strict=True)) for way, marks in ways.items()},
        }

    def nothing(self) -> dict[str, Any]:
        """200 queries that nothing answers, beside good ones that were not used to choose the cut-off."""
        outside = [text for line in OUT_OF_CATALOG.strip().splitlines() for text in line.split("|")]
        noise = list(dict.fromkeys(out_of_catalog_queries(400, lambda text: True, random.Random(99))))
        bad = [*outside, *noise[: 200 - len(outside)]]
        made = [query.text for query in made_queries(self.rows, self.ontology, count=500, seed=11)]
        rng = random.Random(12)
        titles = [" ".join(rng.choice(self.rows)["title"].split()[:4]) for _ in range(500)]
        refused = {text: not self.index.search(text).hits for text in bad}
        kept = {
            name: [bool(self.index.search(t).hits) for t in good] for name, good in (("made", made), ("titles", titles))
        }
        returned_empty = sum(refused.values())
        wrongly = sum(not answered for answers in kept.values() for answered in answers)
        return {
            "bad_queries": len(bad),
            "bad_refused": returned_empty / len(bad),
            "out_of_catalog_refused": sum(refused[text] for text in outside) / len(outside),
            "nonsense_refused": sum(refused[text] for text in bad[len(outside) :]) / (len(bad) - len(outside)),
            "good_queries": len(made) + len(titles),
            "good_kept": 1 - wrongly / (len(made) + len(titles)),
            "good_made_kept": float(np.mean(kept["made"])),
            "good_title_kept": float(np.mean(kept["titles"])),
            "zero_result_precision": returned_empty / max(returned_empty + wrongly, 1),
            "not_refused": sorted(text for text, gone in refused.items() if not gone),
        }

    def page(self) -> Page:
        """Twenty queries to look at."""
        page = Page("Searches to look at", "test split: pictures, titles, and tags that a model wrote")
        page.section("Words")
        for text in SHOPPER_QUERIES:
            found = self.index.search(text, k=10)
            note = ", ".join(map(str, found.understood)) or "nothing named"
            confidence = "" if found.confidence is None else f"; {found.confidence:.0%} sure"
            page.search_strip(text, self._strip(found), note=note + confidence + ("; refused" if found.refused else ""))
        page.section("Like this, but")
        for n, words in ((17, "red"), (140, "blue"), (905, "black"), (2222, "white"), (3100, "green")):
            picture = self.rows[n]["image"]["bytes"]
            page.search_strip(words, self._strip(self.index.search(words, picture, k=10)), image=picture)
        return page

    # --- their tools

    def _strip(self, found: Any) -> list[Shown]:
        return [Shown(image=enlarged(hit.thumbnail), caption=hit.title, score=hit.score) for hit in found]

    def _by(self, index: SearchIndex, way: Any) -> Ranker:
        return lambda text: self._rows(index, index.search(text, k=DEPTH, by=way, cut_off=False))

    def _rows(self, index: SearchIndex, found: Any) -> list[int]:
        return [row for hit in found if (row := index.row_of(hit.product_id)) is not None]

    def _table(self, ways: dict[str, Ranker], queries: Sequence[GeneratedQuery], against: str) -> dict[str, Any]:
        marks = {name: [scored(rank(query.text), query.fitting) for query in queries] for name, rank in ways.items()}
        figures: dict[str, Any] = {"queries": len(queries)}
        for name, own in marks.items():
            figures[name] = mean(own)
            if name != against:
                gap = paired_bootstrap([m[0] for m in marks[against]], [m[0] for m in own])
                figures[name][f"nDCG@10 of {against!r} minus this"] = [gap.difference, gap.low, gap.high]
        return figures


SHOPPER_QUERIES = (
    *("red dress", "black leather handbag", "nike running shoes", "blue jeans for men", "white shirt formal"),
    *("sunglasses women", "silver watch", "kids t-shirt", "green kurta", "sports sandals", "pink nail polish"),
    *("grey track pants", "gold earrings", "brown belt", "puma backpack", "navy blue polo", "winter jacket"),
    *("perfume for women", "laptop charger", "asdkjh qwe"),
)


def silenced(title: str, ontology: Ontology) -> str:
    """The title without words that name a category or a value."""
    words = [word for word in title.split() if not facts_named(word, ontology)]
    kept = []
    for place, word in enumerate(words):
        around = (" ".join(words[place - 1 : place + 1]), " ".join(words[place : place + 2]))
        if not any(facts_named(phrase, ontology) for phrase in around if " " in phrase):
            kept.append(word)
    every = {folded(part) for name in ontology.names() for part in name.split()}
    kept = [word for word in kept if folded(word) not in every and folded(word).rstrip("s") not in every]
    return " ".join(kept) or "item"


def value_of(row: dict[str, Any], name: str) -> str | None:
    """The row's own value of a property."""
    return next((pair["value"] for pair in row["attributes"] or () if pair["property"] == name), None)


def scored(found: Sequence[int], right: np.ndarray) -> tuple[float, float, float]:
    """nDCG@10, Recall@10 and the reciprocal rank of the first right one, among the first ten."""
    fitting = set(right.tolist())
    gains = np.array([row in fitting for row in found[:DEPTH]], dtype=float)
    discount = 1 / np.log2(2 + np.arange(DEPTH))
    ideal = discount[: min(len(fitting), DEPTH)].sum()
    first = np.flatnonzero(gains)
    return (
        float(gains @ discount[: len(gains)] / ideal),
        float(gains.sum() / len(fitting)),
        1 / (1 + int(first[0])) if len(first) else 0.0,
    )


def mean(marks: Sequence[tuple[float, float, float]]) -> dict[str, Any]:
    """The three means by name."""
    return dict(zip(("nDCG@10", "Recall@10", "MRR@10"), map(float, np.mean(marks, axis=0)), strict=True))


def enlarged(thumbnail: bytes) -> bytes:
    """A tiny picture at twice its size, to be looked at."""
    picture = Image.open(BytesIO(thumbnail))
    out = BytesIO()
    picture.resize((picture.width * 2, picture.height * 2), Image.Resampling.LANCZOS).convert("RGB").save(out, "PNG")
    return out.getvalue()


def markdown(figures: dict[str, Any]) -> str:
    """The tables of the figures."""
    lines = ["# Search", "", f"{figures['data']}, {figures['products']:,} products, model `{figures['model']}`.", ""]
    for part in ("attribute_queries", "hidden_from_the_title", "title_queries", "image_queries"):
        if part not in figures:
            continue
        table = figures[part]
        lines += [
            f"## {part.replace('_', ' ')} ({table['queries']})",
            "",
            "| | nDCG@10 | Recall@10 | MRR@10 |",
            "|---|---|---|---|",
        ]
        for name, marks in table.items():
            if isinstance(marks, dict):
                lines.append(f"| {name} | {marks['nDCG@10']:.3f} | {marks['Recall@10']:.3f} | {marks['MRR@10']:.3f} |")
        lines.append("")
    for source in ("pictures of the index", "pictures from elsewhere"):
        if f"composed, {source}" not in figures:
            continue
        table = figures[f"composed, {source}"]
        lines += [f"## same but COLOUR, {source} ({table['queries']})", "", f"{table['about']}.", ""]
        lines += ["| | colour right | same type | both |", "|---|---|---|---|"]
        lines += [
            f"| {name} | {marks['colour right']:.3f} | {marks['same type']:.3f} | {marks['both']:.3f} |"
            for name, marks in table.items()
            if isinstance(marks, dict)
        ]
        lines.append("")
    cut = figures.get("cut_off")
    if cut is None:
        return "\n".join(lines)
    lines += [
        "",
        "## nothing rather than junk",
        "",
        f"Of {cut['bad_queries']} queries that nothing answers {cut['bad_refused']:.1%} return nothing, of "
        f"{cut['good_queries']} good ones {cut['good_kept']:.1%} are answered; "
        f"zero-result precision {cut['zero_result_precision']:.3f}.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
