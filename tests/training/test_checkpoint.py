"""A checkpoint of other weights is refused in one sentence."""

from pathlib import Path

import pytest
import torch
from torch import nn

from shopvl.errors import DesignError
from shopvl.training.checkpoint import Progress, load_checkpoint, save_checkpoint


def test_a_checkpoint_with_other_names_says_what_to_do(tmp_path: Path) -> None:
    before, now = nn.ModuleDict({"known": nn.Linear(2, 2)}), nn.ModuleDict({"title_answer_bias": nn.Linear(2, 2)})
    save_checkpoint(tmp_path, before, torch.optim.AdamW(before.parameters()), Progress(3, 1.0))
    assert load_checkpoint(tmp_path, before, torch.optim.AdamW(before.parameters())) == Progress(3, 1.0)
    with pytest.raises(
        DesignError, match=r"other weights than this run \(known.bias first\).*; remove .* to train anew"
    ):
        load_checkpoint(tmp_path, now, torch.optim.AdamW(now.parameters()))
