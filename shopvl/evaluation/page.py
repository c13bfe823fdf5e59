"""An evaluation as files: `metrics.json` for machines, `report.html` for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from shopvl.batch import inputs_name
from shopvl.catalog.images import image_bytes, thumbnail
from shopvl.catalog.readers import Catalog
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN, DEFAULT_PRECISION, UNKNOWN
from shopvl.data.rows import Row
from shopvl.design.design import Design
from shopvl.errors import ImageError
from shopvl.evaluation.evaluate import (
    LABELS_TIMES,
    MadeQuery,
    ask,
    confusion_table,
    curves,
    measure,
    per_example_results,
    retrieval,
)
from shopvl.evaluation.groups import against_scores, familiarity_scores, group_scores, grouping
from shopvl.evaluation.language import language_scores, reads_titles_alone, titles_of
from shopvl.evaluation.outputs import ModelOutputs, PropertyAnswers, run_model
from shopvl.evaluation.resplits import Resplit, resplit_scores
from shopvl.evaluation.trust_page import trust_sections
from shopvl.files import atomic_write
from shopvl.inference.pair_scorer import ITM_PROTOCOL, QUERIES, Matcher, itm_retrieval, judges_pairs
from shopvl.metrics.calibration import risk_coverage
from shopvl.reporting.page import Figure, FoundProduct, Line, Page, Verdict
from shopvl.reporting.rendering import THUMBNAIL_PX
from shopvl.runtime.bfloat16 import bf16_is_fast
from shopvl.tracking.provenance import write_result

SHOWN_VERDICTS = 8
SHOWN_QUERIES = 10
SHOWN_HITS = 8
SHOWN_SAMPLES = 16
BOTH = inputs_name(("image", "title"))


@dataclass(frozen=True)
class Evaluated:
    """What was measured, as it stands in `metrics.json`, and the page to look at."""

    figures: dict[str, Any]
    page: Path


def evaluate(
    design: Design,
    catalog: Catalog,
    out: Path,
    *,
    by: Sequence[str] = (),
    against: Catalog | None = None,
    resplit: Resplit | None = None,
    learned_from: Catalog | None = None,
    match_queries: int = QUERIES,
    seed: int = 0,
    report: Callable[[int], None] = lambda rows: None,
) -> Evaluated:
    """Measure the design on the catalog, and write it into `out`.

    `metrics.json`, `confusions.csv`, `outcomes.json` and `risk_coverage.json` are for machines, `report.html` and
    `samples/` for people. Products are grouped by the columns `by`, and by language where the catalog has it. `against`
    holds products that are of none of the model's categories: nothing that is accepted about them is right. With
    `resplit`, thresholds are also chosen and tried on parts of the rows. A matching head ranks lists of 101 for
    `match_queries` titles and as many pictures. A model of titles alone is compared with a trigram of the titles of
    `learned_from`.

    Raises CatalogError for a column that the catalog has not.
    """
    by = grouping(catalog, by)
    outputs = run_model(design, catalog, report)
    others = None if against is None else run_model(design, against, truth=lambda row, name, ontology: UNKNOWN)
    retrieval_scores = retrieval(outputs, seed=seed)
    if judges_pairs(design) and outputs.complete:
        matcher = Matcher(design, catalog, bfloat16=bf16_is_fast())
        retrieval_scores |= itm_retrieval(matcher, queries=match_queries, seed=seed)
    figures = {
        "model": design.name,
        "data": catalog.path.name,
        "data_digest": (digest := catalog.digest()),
        "split": catalog.split,
        "seed": seed,
        "parameters": design.parameter_count(),
        **measure(design, outputs, retrieval_scores, seed=seed),
        "groups": group_scores(design, outputs, by),
        "familiarity": familiarity_scores(outputs, others),
    }
    if learned_from is not None and reads_titles_alone(design):
        figures["language"] = language_scores(design, titles_of(learned_from), titles_of(catalog), seed=seed)
    if against is not None and others is not None:
        figures["against"] = {"data": against.path.name, "data_digest": against.digest(), **against_scores(others)}
    if resplit is not None and design.labels:
        figures["resplits"] = resplit_scores(design, catalog, resplit, seed=seed)
    out.mkdir(parents=True, exist_ok=True)
    write_result(out / "metrics.json", figures, model=design.name, data={catalog.path.name: digest})
    _write(out / "outcomes.json", json.dumps(per_example_results(outputs, retrieval_scores)))
    _write(out / "risk_coverage.json", json.dumps(curves(outputs)))
    if confusions := confusion_table(outputs):
        _write(out / "confusions.csv", pl.DataFrame(confusions).write_csv())
        _samples(outputs, catalog.root, out / "samples")
    queries = ask(design, outputs, seed=seed) if outputs.embeddings else []
    page = evaluation_page(figures, outputs, queries, catalog.root, seed).write(out / "report.html")
    return Evaluated(figures, page)


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as draft:
        draft.write_text(text, "utf-8")


def _samples(outputs: ModelOutputs, root: Path, folder: Path) -> None:
    """Sample pictures with true and answered category, the most confident wrong answers first."""
    answers = _fullest(outputs).get(CATEGORY)
    if answers is None:
        return
    folder.mkdir(exist_ok=True)
    samples: list[dict[str, str]] = []
    for number in np.lexsort((-answers.probability, answers.correct))[:SHOWN_SAMPLES].tolist():
        row = outputs.rows[answers.rows[number]]
        picture = thumbnail(_picture(row, root), size_px=THUMBNAIL_PX)
        if picture is None:
            continue
        name = f"{len(samples) + 1:02d}-{'right' if answers.correct[number] else 'wrong'}.jpg"
        (folder / name).write_bytes(picture.jpeg)
        labels = {"truth": answers.truth[number], "answer": answers.best[number]}
        samples.append({"file": name, "product_id": row["product_id"], "title": row["title"] or "", **labels})
    _write(folder / "samples.json", json.dumps(samples, ensure_ascii=False, indent=1))


def _fullest(outputs: ModelOutputs) -> Mapping[str, PropertyAnswers]:
    """The answers from as many inputs as there are."""
    return next(iter(outputs.answers.values()), {})


def evaluation_page(
    figures: Mapping[str, Any], outputs: ModelOutputs, queries: Sequence[MadeQuery], root: Path, seed: int
) -> Page:
    """Headline figures, tables, risk-coverage curves, ten searches, and answers right and wrong with pictures."""
    page = Page(
        f"How good is {figures['model']}?",
        f"{figures['rows']:,} products of {figures['data']}, split {figures['split'] or 'all'}",
        facts={
            "data": f"{figures['data']} ({figures['data_digest'][:12]})",
            "split": str(figures["split"] or "all"),
            "seed": str(seed),
            "parameters": f"{figures['parameters'] / 1e6:.2f} M",
            "rejected": str(figures["rejects"]),
        },
    )
    page.cards(_headlines(figures))
    if "retrieval" in figures:
        _retrieval(page, figures["retrieval"])
    if queries:
        _searches(page, figures["queries"], outputs, queries, root)
    if figures["answers"]:
        _answers(page, figures["answers"], outputs)
        if "second_looks" in figures:
            _second_looks(page, figures["second_looks"])
        trust_sections(page, figures)
        _verdicts(page, outputs, root, seed)
    return page


def usual_inputs(answers: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Of `figures["answers"]`, the fullest inputs that at least half as many rows have as have any."""
    rows = {inputs: max((s["rows"] for s in by_name.values()), default=0) for inputs, by_name in answers.items()}
    most = max(rows.values())
    return next(inputs for inputs, count in rows.items() if 2 * count >= most)


def _headlines(figures: Mapping[str, Any]) -> list[Figure]:
    cards = []
    if "full" in figures.get("retrieval", {}):
        for way, label in (
            ("text_to_image", "title finds picture, R@10"),
            ("image_to_text", "picture finds title, R@10"),
        ):
            share = figures["retrieval"]["full"][way]["R@10"]
            cards.append(Figure(value=f"{share:.1%}", label=label, note="whole gallery", share=share))
    inputs = usual_inputs(figures["answers"]) if figures["answers"] else BOTH
    for name, scores in figures["answers"].get(inputs, {}).items():
        if scores["rows"] and len(cards) < 6:
            alone = figures["answers"]["image"][name] if inputs == BOTH else {"rows": 0}
            note = f"{alone['accuracy']:.1%} from the picture alone" if alone["rows"] else ""
            cards.append(Figure(value=f"{scores['accuracy']:.1%}", label=name, note=note, share=scores["accuracy"]))
    return cards


def _retrieval(page: Page, figures: Mapping[str, Any]) -> None:
    note = "Any product of the same title is a right answer."
    if ITM_PROTOCOL in figures:
        note += f" {ITM_PROTOCOL}: lists of a match and 100 others of its kind, each pair judged by the matching head."
    page.section("Retrieval", note)
    rows: list[list[str | float]] = []
    for protocol, by_way in figures.items():
        for way in ("text_to_image", "image_to_text"):
            scores = by_way[way]
            rows.append([protocol, way.replace("_", " "), *(scores[f"R@{k}"] for k in (1, 5, 10)), scores["gallery"]])
    shown = {f"R@{k}": ".1%" for k in (1, 5, 10)}
    page.table(["protocol", "direction", "R@1", "R@5", "R@10", "gallery"], rows, shown=shown, grouped=True)


def _second_looks(page: Page, figures: Mapping[str, Any]) -> None:
    page.section(
        "Second looks",
        f"A picture is looked at once more, {figures['ms']:.1f} ms each, where the first look leaves an answer open.",
    )
    rows = [[inputs.replace("+", " and "), share] for inputs, share in figures["share"].items()]
    page.table(["answered from", "looked at twice"], rows, shown={"looked at twice": ".1%"})


def _searches(
    page: Page, figures: Mapping[str, Any], outputs: ModelOutputs, queries: Sequence[MadeQuery], root: Path
) -> None:
    """Ten shopper's queries and the products that an index would find for them."""
    page.section(
        "Ten searches",
        f"Queries made from category and attributes; green: a product that has all that was asked for. Over "
        f"{figures['queries']:,} such queries nDCG@10 is {figures['nDCG@10']:.1%}, and {figures['P@10']:.1%} of the "
        "first ten products fit.",
    )
    vectors = outputs.product_vectors()
    for query in queries[:SHOWN_QUERIES]:
        scores = vectors @ query.vector
        fitting = set(query.fitting.tolist())
        hits = []
        for number in np.argsort(-scores)[:SHOWN_HITS].tolist():
            row = outputs.complete_rows[number]
            picture, right = _picture(row, root), number in fitting
            hits.append(FoundProduct(image=picture, caption=row["title"], right=right, score=float(scores[number])))
        page.search_strip(query.text, hits)


def _answers(page: Page, answers: Mapping[str, Any], outputs: ModelOutputs) -> None:
    page.section(
        "Category and attributes",
        f"Accepted: the share of answers that the model gives by itself at {DEFAULT_PRECISION:.0%} precision, by "
        "thresholds chosen on other rows; precise: how often those were right here.",
    )
    rows: list[list[str | float | None]] = []
    for name in next(iter(answers.values())):
        for inputs, by_name in answers.items():
            s = by_name[name]
            if s["rows"]:
                figures = [
                    s["accuracy"],
                    s["weighted_f1"],
                    s["macro_f1"],
                    s["ece"],
                    s["accepted"],
                    s["precision_of_accepted"],
                ]
                rows.append([name, inputs, s["classes"], *figures])
            for level, scores in enumerate(s.get("levels", ()), 1):
                figures = [scores["accuracy"], scores["weighted_f1"], scores["macro_f1"], None, None, None]
                rows.append([f"{name}, level {level}", inputs, scores["classes"], *figures])
    headers = ["property", "inputs", "values", "accuracy", "weighted F1", "macro F1", "ECE", "accepted", "precise"]
    page.table(headers, rows, shown={**dict.fromkeys(headers[3:], ".1%"), "ECE": ".3f"}, grouped=True)
    _more_labels(page, answers)
    for name, by_inputs in _by_property(outputs).items():
        lines = [_risk_line(inputs, given) for inputs, given in by_inputs.items() if given.rows]
        if lines:
            page.lines(lines, title=name, x_label="share answered", y_label="share wrong", x_shown=".0%", y_shown=".0%")


def _more_labels(page: Page, answers: Mapping[str, Any]) -> None:
    """What more labelled rows to calibrate on would bring, property by property."""
    page.text(
        f"How much could be accepted at {DEFAULT_PRECISION:.0%} precision if the thresholds were chosen on more "
        "labelled rows of this kind: where the share hardly grows, labels to measure with are not what is missing."
    )
    rows: list[list[str | float | None]] = []
    for inputs, by_name in answers.items():
        rows += [[name, inputs, *s["coverage_by_labels"].values()] for name, s in by_name.items() if s["rows"]]
    headers = ["property", "inputs", *(f"{times} x the rows" for times in LABELS_TIMES)]
    page.table(
        headers, sorted(rows, key=lambda row: str(row[0])), shown=dict.fromkeys(headers[2:], ".1%"), grouped=True
    )


def _risk_line(inputs: str, answers: PropertyAnswers) -> Line:
    curve = risk_coverage(answers.probability.clip(0, 1), answers.correct)
    return Line(name=inputs, x=curve.coverage.tolist(), y=curve.risk.tolist())


def _by_property(outputs: ModelOutputs) -> dict[str, dict[str, PropertyAnswers]]:
    names = next(iter(outputs.answers.values()))
    return {name: {inputs: by_name[name] for inputs, by_name in outputs.answers.items()} for name in names}


def _verdicts(page: Page, outputs: ModelOutputs, root: Path, seed: int) -> None:
    """From the picture alone: a sample of right answers, and the most confident wrong ones."""
    if "image" not in outputs.answers:
        return
    page.section("Hits and misses", "Answers from the picture alone; the misses are those the model was surest of.")
    rng = np.random.default_rng(seed)
    for name, answers in outputs.answers["image"].items():
        right = rng.permutation(np.flatnonzero(answers.correct))[:SHOWN_VERDICTS]
        wrong = np.flatnonzero(~answers.correct)
        most_confident = wrong[np.argsort(-answers.probability[wrong])][:SHOWN_VERDICTS]
        hits, misses = (
            [verdict_of(outputs.rows[answers.rows[n]], name, answers, n, root) for n in chosen]
            for chosen in (right, most_confident)
        )
        page.hits_and_misses(hits, misses)


def verdict_of(row: Row, name: str, answers: PropertyAnswers, number: int, root: Path) -> Verdict:
    """One answer beside the truth, with the product's picture; of a category the last level only."""

    def short(value: str) -> str:
        return value.split(CATEGORY_JOIN)[-1] if name == CATEGORY else value

    return Verdict(
        title=row["title"] or "",
        name=name,
        answer=short(answers.best[number]),
        truth=short(answers.truth[number]),
        image=_picture(row, root),
        probability=float(answers.probability[number]),
    )


def _picture(row: Row, root: Path) -> bytes | None:
    try:
        return image_bytes(row["image"], root)
    except ImageError:
        return None
