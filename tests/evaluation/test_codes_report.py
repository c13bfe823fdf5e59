"""How many codes are in use, how near to a picture is what they make, and the page that shows it."""

import json
import math
import re

import polars as pl
import pytest
import torch
from typer.testing import CliRunner

from shopvl.catalog.readers import open_catalog
from shopvl.cli import app
from shopvl.errors import DesignError
from shopvl.evaluation.codes import SHOWN, evaluate_codes
from shopvl.recipes import find


@pytest.fixture
def coder(make_design, tmp_path):
    design = make_design(find("beit", "tiny"))
    design.save(tmp_path / "coder")
    return design


@pytest.fixture
def few(toy_table, tmp_path):
    """Five products, one of which has no picture that can be read."""
    path = tmp_path / "few.parquet"
    frame = pl.read_parquet(toy_table).head(5)
    images = frame["image"].to_list()
    images[3] = {"bytes": b"no picture", "path": None}
    frame.with_columns(pl.Series("image", images, dtype=frame["image"].dtype)).write_parquet(path)
    return path


def test_figures_are_those_of_plain_loops(coder, few, tmp_path) -> None:
    figures = evaluate_codes(coder, open_catalog(few), tmp_path / "out")
    written = json.loads((tmp_path / "out" / "codes.json").read_text())
    assert {name: value for name, value in written.items() if name != "checksum"} == figures
    assert (figures["pictures"], figures["rejects"]) == (4, 1)
    tokenizer, used, errors = coder.model.heads["codes"].tokenizer.eval(), [], []
    for row in pl.read_parquet(few).iter_rows(named=True):
        if row["image"]["bytes"] == b"no picture":
            continue
        pixels = coder.loader.pictures([_decoded(row["image"]["bytes"])]).pictures.pixels_B3YX
        with torch.inference_mode():
            tokens = tokenizer.tokens(pixels)
            made = tokenizer.picture(tokens, (4, 4))
        used += tokens.flatten().tolist()
        errors += ((made - pixels) ** 2).flatten().tolist()
    shares = [used.count(code) / len(used) for code in set(used)]
    assert figures["used"] == len(shares)
    assert figures["used_share"] == len(shares) / 32
    assert figures["perplexity"] == pytest.approx(math.exp(-sum(share * math.log(share) for share in shares)))
    assert figures["psnr"] == pytest.approx(-10 * math.log10(sum(errors) / len(errors)), rel=1e-4)
    assert 10 < figures["psnr_enlarged"] < 60


def _decoded(data: bytes):
    from shopvl.catalog.images import decode

    return decode(data)


def test_the_command_writes_a_page_with_pictures_in_three_forms(coder, few, tmp_path) -> None:
    words = ["codes", str(tmp_path / "coder"), str(few), "--split", "", "--out", str(tmp_path / "page")]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    assert re.search(r"\d+ of 32 codes in use, perplexity \d+; PSNR [\d.]+ dB, [\d.]+ of as few pixels", done.output)
    page = (tmp_path / "page" / "codes.html").read_text("utf-8")
    assert page.count("data:image/jpeg") == 3 * 4 < 3 * SHOWN
    assert "made of 4 x 4 codes" in page
    told = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    assert json.loads(told.stdout)["pictures"] == 4


def test_a_design_without_codes_says_so(make_design, few, tmp_path) -> None:
    with pytest.raises(DesignError, match="mae has no codes of pictures; use a design with the objective vq, as beit"):
        evaluate_codes(make_design(find("mae", "tiny")), open_catalog(few), tmp_path / "out")
    assert not (tmp_path / "out").exists()
