"""Figures in pages, read out of experiments/results/ so that they cannot go stale.

    0.686<!-- shipped_small > answers > image > colour > accuracy :.3f -->    a figure, and where it is from
    <!-- begin accuracy --> ... <!-- end accuracy -->                         a table of TABLES, or of a leaderboard

`make figures` writes them into the pages; a test fails where a page differs; the site takes them from here when it is
built. Comments are not shown by whatever renders Markdown. What is not there raises KeyError or FileNotFoundError.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from shopvl.runs.leaderboard import markdown_of, markdown_table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "experiments" / "results"
PAGES = (*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "experiments/LEADERBOARD.md")),)
PAGES += (ROOT / "experiments/shipped/README.md", *sorted((ROOT / "docs").glob("*.md")))
FIGURE = re.compile(r"[^\s|(*>]+<!-- (?P<told>[\w-]+ > [^\n]+? :\S+) -->")
BLOCK = re.compile(r"<!-- begin (?P<name>\S+) -->\n.*?<!-- end (?P=name) -->", re.DOTALL)
MARK = re.compile(r"<!-- (?:[\w-]+ > [^\n]+? :\S+|(?:begin|end) \S+) -->")
BOTH = "image+title"


def filled(page: str) -> str:
    """The page with the figures of today's results."""
    page = BLOCK.sub(lambda found: _marked(found["name"]), page)
    return FIGURE.sub(lambda found: f"{figure(found['told'])}<!-- {found['told']} -->", page)


def unmarked(page: str) -> str:
    """The page with figures alone."""
    return MARK.sub("", page)


def figure(told: str) -> str:
    """A figure by the names on its way, as its format says: `M` at the end counts millions."""
    path, _, form = told.rpartition(" :")
    value: Any = result(path.split(" > ")[0])
    for key in path.split(" > ")[1:]:
        value = value[int(key)] if isinstance(value, list) else value[key]
    return format(value / 1e6, form[:-1]) if form.endswith("M") else format(value, form)


@cache
def result(name: str) -> Any:
    """All that a file of results holds."""
    return json.loads((RESULTS / f"{name}.json").read_text("utf-8"))


def _marked(name: str) -> str:
    told = TABLES[name]() if name in TABLES else markdown_of(result(name)["leaderboard"])
    return f"<!-- begin {name} -->\n\n{told}\n\n<!-- end {name} -->"


# --- tables


def _accuracy(levels: Sequence[str] = ("type",)) -> str:
    """The bundled model beside the words of titles alone; the best of a row is bold."""
    answers, baseline, counts = result("shipped_small")["answers"], result("tfidf_baseline")["figures"], _values()
    rows = []
    for name in (*levels, "colour", "gender", "usage", "season"):
        level = LEVELS.get(name)
        told = [answers[inputs]["category" if level else name] for inputs in (BOTH, "image", "title")]
        measured = [one["levels"][level] if level else one for one in told]
        shown = [f"{one['accuracy']:.3f}" for one in (*measured, baseline[name.replace("-", "")])]
        cells = [f"**{one}**" if one == max(shown) else one for one in shown]
        rows.append([f"{name} ({counts[name]}{' values' if name == 'type' else ''})", *cells])
    return markdown_table(
        ["accuracy", "picture + title", "picture only", "title only", "TF-IDF + SVM, title only"], rows
    )


LEVELS = {"sub-category": 1, "type": 2}  # of the category path


def _values() -> dict[str, int]:
    """How many values the bundled model tells apart."""
    ontology = json.loads((ROOT / "shopvl/shipped/ontology.json").read_text("utf-8"))
    paths = [category["path"] for category in ontology["categories"]]
    counts = {one["id"]: len(one["values"]) for one in ontology["properties"]}
    return counts | {
        name: len({path[-1] for path in paths if len(path) == level + 1}) for name, level in LEVELS.items()
    }


def _accepted() -> str:
    """What is accepted, and how much of that is right."""
    answers = result("shipped_small")["answers"]
    rows = []
    for name in ("category", "colour", "gender", "usage", "season"):
        told = [
            answers[inputs][name][key] for inputs in (BOTH, "image") for key in ("accepted", "precision_of_accepted")
        ]
        rows.append([name, *("–" if share is None else f"{share:.1%}" for share in told)])
    heads = ["at `--precision 0.95`", "accepted, picture + title", "right of these"]
    return markdown_table([*heads, "accepted, picture only", "right of these"], rows)


def _outside() -> str:
    """Rows that nothing was learned from."""
    outside, languages = result("outside"), result("languages")
    goods, titles, photos = outside["goods"], outside["titles"], outside["snapshots"]["image/category"]
    right = ", ".join(f"{languages[code]['title/category']['accuracy']:.1%}" for code in ("en", "de", "fr", "es"))
    some = "products with an accepted answer"
    rows = [
        [f"{goods['products']:,} pictures of other goods and of no goods: {some}", goods["products_with_accepted"]],
        [f"{titles['products']:,} titles of other goods: {some}", titles["products_with_accepted"]],
        [
            f"{photos['rows']:,} phone photos of clothes: category right / accepted / right of the accepted",
            " / ".join(f"{photos[key]:.0%}" for key in ("accuracy", "coverage", "precision")),
        ],
        [f"{languages['rows']:,} titles in English, German, French, Spanish: category right", right],
    ]
    return markdown_table(["rows", "figure"], [[a, b if isinstance(b, str) else f"{b:.1%}"] for a, b in rows])


def _race() -> str:
    """The same minutes of training as open_clip."""
    rows = []
    for label, name in (
        ("shopvl `tri-clip` mini", "shopvl tri-clip mini, bfloat16"),
        ("the same, looking at a picture once", "the same without the close-up"),
        ("open_clip", "open_clip, bfloat16"),
    ):
        told = result("race")["scores"][name]
        ways = [told["full"][way]["R@10"] for way in ("text_to_image", "image_to_text")]
        rows.append([label, *(f"{one:.3f}" for one in (*ways, told["probe"]["type"]["accuracy"]))])
    heads = ["R@10", "title finds picture", "picture finds title", "type, linear probe of the picture"]
    return markdown_table(heads, rows)


def _speed() -> str:
    """Products a second of whoever raced, and of ours how many times CLIP's, within a round."""
    told, ratios = result("tag_race")["rows_per_second"], result("tag_race")["ratios"]
    rows = [
        [label, f"{told[name]:,.0f}", f"{ratios[f'{name} / clip']:.1f}" if f"{name} / clip" in ratios else "–"]
        for label, name in (
            ("`shopvl tag --bfloat16`", "shopvl-bf16"),
            ("`shopvl tag --int8`", "shopvl-int8"),
            ("`shopvl tag`", "shopvl"),
            ("the same model in a plain loop", "loop"),
            ("CLIP ViT-B/32, transformers, zero-shot", "clip"),
            ("CLIP ViT-B/32, open_clip, zero-shot", "open-clip"),
        )
        if name in told  # what a machine cannot run, or has not installed, is left out of the race
    ]
    return markdown_table(["picture and title to category and properties", "products/s", "times CLIP"], rows)


def _promotions() -> str:
    """What promotions cost, in points of accuracy."""
    told = result("promotions")["properties"]
    named = {"as it came": "as it came", "with `--ocr`, which paints out first": "ocr"}
    falls = [
        [label, *(f"{told[name][way]['fall']:.1f}" for name in ("category", "colour"))] for label, way in named.items()
    ]
    return markdown_table(["", "type", "colour"], falls)


def _crossing() -> str:
    """What translating between words and patches costs beside plain attention."""
    told = result("translated_attention")["ratios"]
    names = [name for name in told if name not in ("none", "transe-q, whole")]
    return markdown_table(
        ["beside plain attention", *names],
        [
            [label, *(f"{told[name][key]:.2f}" for name in names)]
            for label, key in (("time", "time"), ("memory", "peak_memory"))
        ],
    )


def _search_scale() -> str:
    """What each kind of index costs and finds."""
    kinds = {name: told for name, told in result("search_scale").items() if "recall@10" in told}
    heads = ["index", "building, s", "file, MB", "memory, MB", "recall@10", "times the bare call", "with a filter"]
    rows = [
        [
            name,
            f"{told.get('index_cpu_s', told.get('whole_index_s')):.0f}",
            *(str(told[key]) for key in ("index_file_mb", "memory_mb")),
            f"{told['recall@10']:.3f}",
            *(f"{told[f'shopvl / bare{way}']:.2f}" for way in ("", ", filter")),
        ]
        for name, told in kinds.items()
    ]
    return markdown_table(heads, rows)


def _first_afternoon() -> str:
    """What stands after each round of questions, chosen and at random: means over the seeds."""
    ways = {"chosen": "questions chosen", "at random": "at random, none asked again"}
    of = {way: list(zip(*result("first_afternoon")[way], strict=True)) for way in ways}
    rows = []
    for number, own in enumerate(of["chosen"]):
        cells = [f"{sum(one['decisions'] for one in own) / len(own):.0f}"]
        for name in ("category", "colour"):
            cells.append(f"{sum(one[name]['accuracy'] for one in own) / len(own):.3f}")
            for way in ways:
                seeds = of[way][number]
                cells.append(f"{sum(one[name]['accepted'] for one in seeds) / len(seeds):.0%}")
        rows.append(cells)
    accepted = [f"accepted, {told}" for told in ways.values()]
    return markdown_table(["decisions", "category right", *accepted, "colour right", *accepted], rows)


TABLES: dict[str, Callable[[], str]] = {
    "accuracy": _accuracy,
    "accuracy-with-sub-category": lambda: _accuracy(("type", "sub-category")),
    "accepted": _accepted,
    "outside": _outside,
    "race": _race,
    "speed": _speed,
    "promotions": _promotions,
    "crossing-cost": _crossing,
    "search-scale": _search_scale,
    "first-afternoon": _first_afternoon,
}


if __name__ == "__main__":
    for path in PAGES:
        text = path.read_text("utf-8")
        if (now := filled(text)) != text:
            path.write_text(now, "utf-8")
            print(path.relative_to(ROOT))
