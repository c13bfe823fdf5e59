"""Subject maps of real photos, where they are: `make test-real`."""

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from shopvl.catalog.images import decode
from shopvl.vision.patches import KeepRule, patch_shares
from shopvl.vision.subject import subject_map

DATA = Path(os.environ.get("SHOPVL_DATA", "../shared/data")) / "fashion-products-small.parquet"
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not DATA.is_file(), reason="the real data is not here; set SHOPVL_DATA"),
]


@pytest.mark.parametrize("quick", [False, True])
def test_most_thumbnails_have_a_subject_and_a_background(quick: bool) -> None:
    images = next(pq.ParquetFile(DATA).iter_batches(200, columns=["image"])).column(0)
    maps = [subject_map(decode(image.as_py()["bytes"]), quick=quick) for image in images]
    shares = np.array([shown.subject.mean() for shown in maps])
    assert np.mean((shares > 0.03) & (shares < 0.9)) > 0.97
    assert 0.25 < shares.mean() < 0.5
    kept = [KeepRule().keep_mask(patch_shares(shown, (10, 8))).mean() for shown in maps]
    assert 0.35 < np.mean(kept) < 0.65
