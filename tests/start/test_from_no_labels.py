"""From a list of values to answers that can be trusted: what is learned from decisions, and which are asked for."""

import csv
import itertools
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from typer.testing import CliRunner

from shopvl.batch import INPUT_CHOICES, inputs_name
from shopvl.catalog.corrections import CORRECTIONS, Correction
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.readers import Catalog, open_catalog
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN
from shopvl.cli import app
from shopvl.data.rows import label_of
from shopvl.design.design import Design
from shopvl.errors import CatalogError
from shopvl.files import Table
from shopvl.inference.encode import Encoded, encode
from shopvl.review.sheet import NAMES, read_sheet
from shopvl.start import learn as learning
from shopvl.start import outputs as outputs_module
from shopvl.start.history import History
from shopvl.start.learn import PENALTIES, CatalogFeatures, fit_path, folds_of, learn
from shopvl.start.outputs import OUTPUTS, NameReader, outputs_of
from shopvl.start.questions import hard_ones, least_at_random, shares
from shopvl.start.reviewed import Reviewed
from shopvl.start.starting import CORRECTIONS_FILE, MODEL, named, start


@pytest.fixture(scope="module")
def labels(toy_ontology: Ontology, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy catalog's own categories and values, as a person would list them."""
    path = tmp_path_factory.mktemp("list") / "labels.yaml"
    lines = ["category:", *(f"- {CATEGORY_JOIN.join(leaf)}" for leaf in toy_ontology.leaves())]
    for prop in toy_ontology.properties:
        lines += [f"{prop.id}:", *(f"- '{value.id}'" for value in prop.values)]
    path.write_text("\n".join(lines), "utf-8")
    return path


@pytest.fixture
def bare(toy_table: Path, tmp_path: Path) -> Catalog:
    """The toy products without labels."""
    frame = pl.read_parquet(toy_table)
    path = tmp_path / "bare.parquet"
    frame.select("product_id", "title", "image").write_parquet(path)
    return open_catalog(path)


def decisions(toy_catalog: Catalog, ontology: Ontology, *, at_random: bool = True) -> list[Correction]:
    """The true values of all products."""
    now, names = datetime.now(UTC), (CATEGORY, *(prop.id for prop in ontology.properties))
    return [
        Correction(row["product_id"], name, value, None, now, at_random)
        for frame in toy_catalog.batches()
        for row in frame.iter_rows(named=True)
        for name in names
        if (value := label_of(row, name, ontology)) is not None
    ]


def write(path: Path, decided: list[Correction]) -> Path:
    with Table(path, CORRECTIONS) as table:
        table.write([{name: getattr(one, name) for name in CORRECTIONS.names} for one in decided])
    return path


def test_the_fit_is_that_of_scikit_learn() -> None:
    draw = np.random.default_rng(0)
    seen_TR, label_T = draw.normal(size=(60, 5)), draw.integers(0, 3, 60)
    free_L = np.ones(3, dtype=bool)
    found = list(fit_path(np.zeros((60, 3)), label_T, seen_TR @ seen_TR.T, free_L, noise=0.0))
    for penalty, weight_TL in zip(PENALTIES[1:], found, strict=True):
        peer = LogisticRegression(C=1 / penalty, fit_intercept=False, tol=1e-10, max_iter=1000).fit(seen_TR, label_T)
        np.testing.assert_allclose(seen_TR.T @ weight_TL, peer.coef_.T, atol=5e-3)


def test_what_names_say_already_is_not_learned_again() -> None:
    """An answer that is surely right by its name leaves nothing to learn, and answers that are not free stay."""
    label_T = np.arange(12) % 3
    sure_TL = np.full((12, 3), -30.0)
    sure_TL[np.arange(12), label_T] = 0
    kernel_TT, free_L = np.eye(12), np.array([True, True, False])
    assert all(abs(weight).max() < 1e-6 for weight in fit_path(sure_TL, label_T, kernel_TT, free_L))
    assert all(not weight[:, 2].any() for weight in fit_path(np.zeros((12, 3)), label_T, kernel_TT, free_L))


def test_the_saved_head_answers_as_the_kept_outputs_do(
    prompted_folder: Path, bare: Catalog, toy_catalog: Catalog, toy_ontology: Ontology, tmp_path: Path, monkeypatch
) -> None:
    """The terms that were learned, written into the head's weights, against the kernel that they were learned with."""
    monkeypatch.setattr(learning, "PENALTIES", (np.inf, 0.08))
    monkeypatch.setattr(learning, "_best", lambda held, label_D, asked_D: min(held))
    design = named(Design.from_pretrained(prompted_folder), toy_ontology)
    design.model.head.image_linear_with_title.mean_F += 0.3  # the two maps of the picture need not agree on that
    design.model.head.image_linear_with_title.spread_F *= 1.5
    reader, outputs = outputs_of(design, bare, tmp_path)
    reviewed = Reviewed.of(decisions(toy_catalog, toy_ontology)[::2], outputs, design)
    every = CatalogFeatures.of(reader.head, outputs)
    taught = learn(reader, outputs, every, reviewed.rows_T, reviewed.labels(reader), reviewed.at_random_T)
    assert {inputs for own in taught.learned.values() for inputs in own.terms} == {"image+title", "image", "title"}
    lines = taught.lines(outputs)
    assert any(not np.allclose(lines[name], outputs.lines[name], equal_nan=True) for name in lines)
    taught.write_into(reader.head)
    place = {name: number for number, name in enumerate(outputs.ids)}
    again = NameReader(design)
    for item in encode(design, bare.batches(), bare.root, ("image", "title"), again.read):
        assert isinstance(item, Encoded)
        numbers = [place[row["product_id"]] for row in item.rows]
        for choice in map(inputs_name, INPUT_CHOICES):
            for name, logp in reader.by_property(lines[choice][numbers]).items():
                torch.testing.assert_close(
                    reader.by_property(item.values[choice])[name].exp(), logp.exp(), atol=2e-4, rtol=1e-3
                )


def test_a_first_round_guesses_and_asks(prompted_folder: Path, bare: Catalog, labels: Path, tmp_path: Path) -> None:
    out = tmp_path / "start"
    done = start(bare, out, base=prompted_folder, labels=labels, ask=40)
    tags = pl.read_parquet(out / "tags" / "tags.parquet")
    assert done.products == bare.count() == tags["product_id"].n_unique()
    assert tags["product_id"].unique(maintain_order=True).to_list() == [
        name for frame in bare.batches() for name in frame["product_id"]
    ]
    assert not (tags["decision"] == "accept").any()
    assert len(done.chosen) == 40
    assert all(one.at_random for one in done.chosen)  # with none nothing could ever be accepted
    assert len({(one.product_id, one.property) for one in done.chosen}) == 40
    products = [product for product, _ in itertools.groupby(done.chosen, key=lambda one: one.product_id)]
    assert len(products) == len(set(products))  # those of one product stand together
    with pytest.raises(CatalogError, match="has no list of labels yet; name one with --labels"):
        start(bare, tmp_path / "other", base=prompted_folder)


@pytest.mark.parametrize("listed", ["Colour: [Red, Blue]", "category: [Shoes]", "category: [Shoes]\nsize: [38, 39]"])
@pytest.mark.parametrize("lacking", [None, "title", "image"])
def test_short_lists_and_catalogs_with_one_input(
    listed: str, lacking: str | None, prompted_folder: Path, bare: Catalog, tmp_path: Path
) -> None:
    (tmp_path / "short.yaml").write_text(listed)
    frame = pl.read_parquet(bare.path).head(8)
    if lacking is not None:
        frame = frame.with_columns(pl.lit(None, frame.schema[lacking]).alias(lacking))
    frame.write_parquet(tmp_path / "few.parquet")
    few, out = open_catalog(tmp_path / "few.parquet"), tmp_path / "start"
    done = start(few, out, base=prompted_folder, labels=tmp_path / "short.yaml", ask=5)
    name = "Colour" if listed.startswith("Colour") else CATEGORY
    value = {"Colour": "Red", CATEGORY: "Shoes"}[name]
    decided = [Correction(key, name, value, None, datetime.now(UTC), True) for key in frame["product_id"]]
    write(
        out / CORRECTIONS_FILE, [*decided[:-1], Correction(frame["product_id"][7], name, None, None, datetime.now(UTC))]
    )
    again = start(few, out, base=prompted_folder, ask=0)
    assert (done.products, again.products, again.decisions, again.chosen) == (8, 8, 8, [])


def test_decisions_make_answers_automatic(
    prompted_folder: Path, bare: Catalog, toy_catalog: Catalog, toy_ontology: Ontology, labels: Path, tmp_path: Path
) -> None:
    out = tmp_path / "start"
    first = start(bare, out, base=prompted_folder, labels=labels)
    before = (out / OUTPUTS).stat().st_mtime_ns
    decided = decisions(toy_catalog, toy_ontology)
    write(out / CORRECTIONS_FILE, [*decided, Correction("nobody's", CATEGORY, None, None, datetime.now(UTC))])
    done = start(bare, out, base=prompted_folder, precision=0.8)
    assert (out / OUTPUTS).stat().st_mtime_ns == before  # the catalog was not read again
    assert (done.decisions, done.strangers) == (len(decided), 1)
    state = {one.name: one for one in done.states}[CATEGORY]
    assert state.decided == state.at_random == Counter(one.property for one in decided)[CATEGORY]
    truth = {(one.product_id, one.property): one.value for one in decided}
    tags = pl.read_parquet(out / "tags" / "tags.parquet")

    def right(rows: pl.DataFrame) -> float:
        pairs = rows.select("product_id", "property", "value").iter_rows()
        known = [(truth[key, name], value) for key, name, value in pairs if (key, name) in truth]
        return sum(true == value or true.startswith(f"{value}{CATEGORY_JOIN}") for true, value in known) / len(known)

    accepted = tags.filter(pl.col("decision") == "accept")
    assert state.accepted > 0.5
    assert right(accepted) >= 0.8
    assert right(tags) > 0.8
    again = {(one.product_id, one.property) for one in done.chosen if one.said is not None}
    assert all(truth[key] is not None for key in again)  # of decisions that its answer contradicts, some once more
    assert not {(one.product_id, one.property) for one in done.chosen if one.said is None} & truth.keys()
    next_round = start(bare, out, base=prompted_folder, precision=0.8)
    assert not again & {(one.product_id, one.property) for one in next_round.chosen if one.said is not None}
    # the model folder answers like any other
    assert Design.from_pretrained(out / MODEL).calibration["image+title"][CATEGORY]["rows"] > 0
    assert first.states[0].forecast is None
    loud = write(tmp_path / "loud.parquet", [replace(one, property=one.property.upper()) for one in decided])
    same = start(bare, out, base=prompted_folder, precision=0.8, corrections=loud)
    assert same.decisions == done.decisions
    assert not {(one.product_id, one.property) for one in same.chosen if one.said is None} & truth.keys()


@pytest.mark.zoo
def test_slips_of_a_new_batch_take_nothing_back(
    prompted_folder: Path, bare: Catalog, toy_catalog: Catalog, toy_ontology: Ontology, labels: Path, tmp_path: Path
) -> None:
    """What older decisions have shown stands until the new ones were asked for again where they look like slips."""
    every = [one for one in decisions(toy_catalog, toy_ontology) if one.property == CATEGORY]
    leaves = [CATEGORY_JOIN.join(leaf) for leaf in toy_ontology.leaves()]
    wrong = [replace(one, value=next(leaf for leaf in leaves if leaf != one.value)) for one in every[40:48]]

    def accepted(out: Path, *rounds: list[Correction]) -> float:
        for decided in rounds:
            file = write(tmp_path / "decided.parquet", decided)
            done = start(bare, out, base=prompted_folder, labels=labels, precision=0.8, corrections=file, ask=50)
        return next(one for one in done.states if one.name == CATEGORY).accepted

    assert accepted(tmp_path / "at-once", [*every[:40], *wrong]) == 0
    before = accepted(tmp_path / "start", every[:40])
    assert before > 0.5
    assert accepted(tmp_path / "start", [*every[:40], *wrong]) > 0.5
    assert accepted(tmp_path / "start", [*every[:40], *wrong]) > 0.5  # nothing new was said
    assert accepted(tmp_path / "start", [*every[:40], *wrong], [*every[:40], *wrong, *every[48:]]) == 0  # they stand


def test_decisions_are_settled_by_the_next_ones() -> None:
    first, more = frozenset([("1", "colour")]), frozenset([("1", "colour"), ("2", "colour")])
    seen = History().seeing(first)
    assert (seen.decided, seen.settled) == (first, frozenset())
    assert seen.seeing(first) == seen
    assert seen.seeing(more).settled == first
    assert seen.seeing(more).seeing(more).settled == first
    assert seen.seeing(frozenset()).settled == frozenset()


def test_products_of_one_title_are_held_out_together() -> None:
    at_random_D = np.array([True, True, False, True, True, True, True])
    group_D = np.array([7, 3, 3, 7, 1, 2, 4])
    folds = folds_of(at_random_D, group_D)
    assert sorted(np.concatenate(folds).tolist()) == [0, 1, 3, 4, 5, 6]
    assert [fold.tolist() for fold in folds] == [[0, 3], [1], [4], [5], [6]]
    assert folds_of(np.zeros(3, dtype=bool), np.arange(3)) == []


def test_a_stopped_reading_goes_on(
    prompted_folder: Path, bare: Catalog, toy_ontology: Ontology, tmp_path: Path
) -> None:
    design = named(Design.from_pretrained(prompted_folder), toy_ontology)
    whole = outputs_of(design, bare, tmp_path / "whole")[1]
    rows = pl.read_parquet(bare.path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outputs_module, "PART_ROWS", 16)
        count = itertools.count()

        def stop(self: NameReader, *inputs: object) -> dict[str, torch.Tensor]:
            if next(count) == 2:
                raise KeyboardInterrupt
            return plain(self, *inputs)

        plain = NameReader.read
        patch.setattr(NameReader, "read", stop)
        with pytest.raises(KeyboardInterrupt):
            outputs_of(design, bare, tmp_path / "own")
        again = outputs_of(design, bare, tmp_path / "own")[1]
        assert next(count) < 2 * -(-rows.height // 16)  # what was read before the stop was not read again
    assert again.ids == whole.ids
    for inputs, line_NF in whole.lines.items():
        np.testing.assert_allclose(again.lines[inputs], line_NF, atol=1e-4)
    assert sorted(path.name for path in (tmp_path / "own").iterdir()) == [OUTPUTS]


def test_damage_and_another_catalog_are_noticed(
    prompted_folder: Path, bare: Catalog, labels: Path, tmp_path: Path
) -> None:
    out = tmp_path / "start"
    start(bare, out, base=prompted_folder, labels=labels)
    kept = (out / OUTPUTS).read_bytes()
    (out / OUTPUTS).write_bytes(kept[: len(kept) // 2] + bytes(8) + kept[len(kept) // 2 + 8 :])
    start(bare, out, base=prompted_folder)
    assert (out / OUTPUTS).read_bytes()[:64] == kept[:64]
    rows = pl.read_parquet(bare.path)
    twice = pl.concat(
        [rows, rows.head(1), rows.head(1).with_columns(product_id=pl.lit("empty"), image=None, title=None)]
    )
    twice.write_parquet(tmp_path / "twice.parquet")
    done = start(open_catalog(tmp_path / "twice.parquet"), out, base=prompted_folder)
    assert (done.products, done.rejected) == (rows.height, 2)
    rejects = pl.read_parquet(out / "tags" / "rejects.parquet")
    assert sorted(rejects["product_id"]) == sorted([rows["product_id"][0], "empty"])
    assert rejects["reason"].str.contains("came before; ids must be unique").sum() == 1


def test_several_pictures_speak_together(
    prompted_folder: Path, toy_ontology: Ontology, toy_table: Path, tmp_path: Path
):
    """Scores of a product with two pictures are the mean of those that each picture has by itself."""
    rows = pl.read_parquet(toy_table).head(2).select("product_id", "title", "image")
    first, second = rows["image"].to_list()
    frame = rows.with_columns(title=pl.lit("the same"), more_images=pl.Series([[second], None]))
    frame.write_parquet(tmp_path / "two.parquet")
    design = named(Design.from_pretrained(prompted_folder), toy_ontology)
    outputs = outputs_of(design, open_catalog(tmp_path / "two.parquet"), tmp_path / "two")[1]
    frame.with_columns(image=pl.Series([first, second]), more_images=None).write_parquet(tmp_path / "each.parquet")
    each = outputs_of(design, open_catalog(tmp_path / "each.parquet"), tmp_path / "each")[1]
    for inputs in ("image+title", "image"):
        np.testing.assert_allclose(outputs.lines[inputs][0], each.lines[inputs].mean(0), atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(outputs.pooled_NW[0], each.pooled_NW.mean(0), atol=1e-4)
    np.testing.assert_array_equal(outputs.lines["title"][0], each.lines["title"][0])
    np.testing.assert_allclose(np.linalg.norm(outputs.vector_ND, axis=1), 1, atol=1e-5)


def test_seats_are_given_where_most_is_open() -> None:
    assert shares({"a": 90, "b": 10, "c": 0}, {}, 10) == {"a": 9, "b": 1}
    assert shares({"a": 90, "b": 90}, {"a": 50}, 10) == {"b": 10}
    assert shares({"a": 2, "b": 1}, {}, 10) == {"a": 2, "b": 1}
    assert [least_at_random(p) for p in (0.9, 0.95, 0.99)] == [29, 59, 299]


def test_hard_questions_differ_from_one_another(
    prompted_folder: Path, bare: Catalog, toy_ontology: Ontology, tmp_path: Path
) -> None:
    design = named(Design.from_pretrained(prompted_folder), toy_ontology)
    outputs = outputs_of(design, bare, tmp_path)[1]
    same = outputs.where(np.array([0, 0, 0, 1, 2]))
    taken = hard_ones(same, np.arange(5), np.full(5, 0.5), 3)
    assert len({same.ids[number] for number in taken}) == 3
    assert not hard_ones(same, np.arange(0), np.zeros(0), 3)


def test_two_commands_go_round(
    prompted_folder: Path, bare: Catalog, toy_catalog: Catalog, toy_ontology: Ontology, labels: Path, tmp_path: Path
) -> None:
    run, out = CliRunner(), tmp_path / "start"
    begun = ["start", str(bare.path), "--out", str(out), "--model", str(prompted_folder), "--ask", "12"]
    done = run.invoke(app, [*begun, "--labels", str(labels)])
    assert done.exit_code == 0, done.output
    assert "12 questions" in done.stdout
    sheet = out / "questions.xlsx"
    assert f"shopvl review import {sheet} --model {out / MODEL} --out {out / CORRECTIONS_FILE}" in done.stdout
    truth = {(one.product_id, one.property): one.value for one in decisions(toy_catalog, toy_ontology)}
    asked = [(row.cells["product_id"], row.cells["property"]) for row in read_sheet(sheet)]
    with (tmp_path / "answered.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, [name for name in NAMES if name != "picture"], extrasaction="ignore")
        table.writeheader()
        for row, pair in zip(read_sheet(sheet), asked, strict=True):
            table.writerow({**row.cells, "correct": truth.get(pair, "")})
    said = ["--model", str(out / MODEL), "--out", str(out / CORRECTIONS_FILE)]
    taken = run.invoke(app, ["review", "import", str(tmp_path / "answered.csv"), *said])
    assert taken.exit_code == 0, taken.output
    again = run.invoke(app, begun)
    assert again.exit_code == 0, again.output
    assert f"{sum(pair in truth for pair in asked)} decisions" in again.stdout
