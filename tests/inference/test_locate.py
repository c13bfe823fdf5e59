"""Where a picture shows something, as people ask for it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from shopvl.cli import app
from shopvl.errors import DesignError, ShopvlError
from shopvl.inference.locate import _of_picture, locate
from shopvl.recipes import find
from shopvl.vision.transforms import seen_box


def test_boxes_come_back_from_the_canvas_to_the_picture() -> None:
    rng = np.random.default_rng(0)
    for width, height in ((300, 100), (100, 300), (64, 64)):
        low = rng.uniform(0, 0.5, (20, 2))
        boxes = np.concatenate([low, low + rng.uniform(0.05, 0.5, (20, 2))], axis=1)
        seen = [seen_box(tuple(box), (width, height), (80, 64)) for box in boxes.tolist()]
        back = _of_picture(torch.tensor(seen), (width, height), (80, 64))
        assert back.numpy() == pytest.approx(boxes, abs=0.01)


def test_what_is_not_there_has_no_place_and_what_is_has_the_best_first(make_design) -> None:
    design = make_design(find("glip", "tiny"))
    pictures = [Image.new("RGB", (50, 40), "white"), Image.new("RGB", (30, 60), "red")]
    shown = locate(design, pictures, ["Blue", "striped"], least=0.0)
    assert [[one.phrase for one in each] for each in shown] == [["Blue", "striped"]] * 2
    for one in (one for each in shown for one in each):
        scores = [place.score for place in one.places]
        assert scores
        assert scores == sorted(scores, reverse=True)
        assert scores[-1] >= 0.5 * scores[0]
        assert all(0 <= side <= 1 for place in one.places for side in place.box)
    alone = locate(design, pictures[:1], ["striped"], least=0.0)
    told, same = alone[0][0], shown[0][1]  # what else is asked changes nothing
    assert told.presence == pytest.approx(same.presence, abs=1e-5)
    assert told.places[0].box == pytest.approx(same.places[0].box, abs=1e-3)
    nowhere = locate(design, pictures, ["blue"], least=1.1)
    assert all(one.places == () for each in nowhere for one in each)
    with pytest.raises(DesignError, match="'  ' names nothing that can be looked for"):
        locate(design, pictures, ["  "])


def test_the_command_says_where_or_that_it_is_not_there(make_design, tuned_folder, tmp_path: Path) -> None:
    make_design(find("glip", "tiny")).save(tmp_path / "model")
    picture = tmp_path / "shirt.png"
    Image.new("RGB", (40, 40), "navy").save(picture)
    runner, words = CliRunner(), ["locate", str(picture), "zip", "blue", "--model", str(tmp_path / "model")]
    told = runner.invoke(app, [*words, "--json"], catch_exceptions=False)
    assert told.exit_code == 0, told.output
    rows = json.loads(told.stdout)
    assert [row["phrase"] for row in rows] == ["zip", "blue"]
    plain = runner.invoke(app, words, catch_exceptions=False).output
    for row in rows:
        expected = "not in this picture" if row["presence"] < 0.5 else "score"
        assert any(line.startswith(f"{row['phrase']}:") and expected in line for line in plain.splitlines())
    unable = runner.invoke(app, [*words[:-1], str(tuned_folder)])
    assert isinstance(unable.exception, ShopvlError)
    assert "has not learned where things are" in str(unable.exception)
    assert "glip" in str(unable.exception)
    missing = runner.invoke(app, ["locate", str(tmp_path / "no.png"), "zip", "--model", str(tmp_path / "model")])
    assert "there is no picture" in str(missing.exception)
