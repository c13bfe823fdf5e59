"""A checkpoint of other weights is refused in one sentence, and a damaged one gives way to the one before."""

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


def _halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize("file", ["model.safetensors", "average.safetensors", "optimizer.safetensors", "progress.json"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b""), _halved, _flipped])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path, caplog, file: str, damage) -> None:
    net, average = nn.Linear(2, 2), nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    save_checkpoint(tmp_path, net, optimizer, Progress(1, 1.0), {"average": average})
    optimizer.step()
    save_checkpoint(tmp_path, net, optimizer, Progress(2, 2.0), {"average": average})
    damage(tmp_path / "checkpoint-00000002" / file)
    assert load_checkpoint(tmp_path, net, optimizer, {"average": average}) == Progress(1, 1.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert "goes on from what was saved before it" in caplog.text
    damage(tmp_path / "checkpoint-00000001" / file)
    assert load_checkpoint(tmp_path, net, optimizer, {"average": average}) == Progress()
