"""What is said of a product, judged by its picture, as people ask."""

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from shopvl.batch import VERDICTS
from shopvl.cli import app
from shopvl.errors import DesignError, ShopvlError
from shopvl.inference.verify import as_learned, statements_in, verify
from shopvl.recipes import find


def test_each_statement_is_judged_by_itself(make_design) -> None:
    design = make_design(find("relations", "tiny"))
    pictures = [Image.new("RGB", (50, 40), "white"), Image.new("RGB", (30, 60), "red")]
    both = verify(design, pictures, ["Colour: Navy", "sleeve: long sleeves"])
    assert [[one.statement for one in each] for each in both] == [["Colour: Navy", "sleeve: long sleeves"]] * 2
    (alone,) = verify(design, pictures[1:], ["sleeve: long sleeves"])
    assert alone[0].shares == pytest.approx(both[1][1].shares, abs=1e-5)
    for one in (one for each in both for one in each):
        assert sum(one.shares) == pytest.approx(1, abs=1e-5)
        assert one.verdict == VERDICTS[max(range(3), key=one.shares.__getitem__)]
        assert bool(one.places) == (one.verdict != "not seen")
        assert all(0 <= side <= 1 for place in one.places for side in place.box)
    for fault in ("navy", "colour:", "smell: roses"):
        with pytest.raises(
            DesignError, match=r"is no statement; say PROPERTY: VALUE, of one of the properties .*colour"
        ):
            as_learned(fault, design.ontology)
    with pytest.raises(DesignError, match="glip has not learned to judge statements by pictures"):
        verify(make_design(find("glip", "tiny")), pictures, ["colour: navy"])


def test_a_title_says_the_values_that_it_names(make_design) -> None:
    ontology = make_design(find("relations", "tiny")).ontology
    said = statements_in("Acme Navy T-shirt, Long Sleeves", ontology)
    assert said == [("Navy", "colour: navy"), ("Long Sleeves", "sleeve: long sleeves")]
    assert statements_in("Nothing of the kind", ontology) == []


def test_the_command_says_what_is_shown_and_where(make_design, tuned_folder: Path, tmp_path: Path) -> None:
    make_design(find("relations", "tiny")).save(tmp_path / "model")
    picture = tmp_path / "shirt.png"
    Image.new("RGB", (40, 40), "navy").save(picture)
    runner = CliRunner()
    words = ["verify", str(picture), "Colour: red", "--title", "Navy T-shirt", "--model", str(tmp_path / "model")]
    told = runner.invoke(app, [*words, "--json"], catch_exceptions=False)
    assert told.exit_code == 0, told.output
    rows = json.loads(told.stdout)
    assert [(row["words"], row["statement"]) for row in rows] == [
        ("Colour: red", "Colour: red"),
        ("Navy", "colour: navy"),
    ]
    lines = runner.invoke(app, words, catch_exceptions=False).output.splitlines()
    for row, line in zip(rows, lines, strict=True):
        assert line.startswith(f"{row['words']}: {row['verdict']} (")
        assert ("  at " in line) == (row["verdict"] != "not seen")
    for faulty, fault in (
        ([*words[:2], "--model", words[-1]], "nothing is said; give statements such as 'colour: navy'"),
        ([*words[:2], "--title", "Thing", "--model", words[-1]], "the title 'Thing' names no value"),
        (
            [*words[:3], "--model", str(tuned_folder)],
            "has not learned to judge statements by pictures; add the objective",
        ),
        (["verify", str(tmp_path / "no.png"), "a: b", "--model", words[-1]], "there is no picture"),
    ):
        ended = runner.invoke(app, faulty)
        assert isinstance(ended.exception, ShopvlError)
        assert fault in str(ended.exception)
