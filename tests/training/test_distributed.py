"""Two processes that share each batch learn what one process learns from the whole of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from shopvl.errors import RecipeError
from shopvl.training.distributed import share_of
from shopvl.training.loop import LOG

ROOT = Path(__file__).parents[2]
CHANGES = {
    # batch norms, dropped words and crops: what differs if rows are drawn or normalised per process
    "image": {"kind": "thumbnail-conv", "size_px": [32, 32], "stem": 8, "widths": [8, 16], "blocks": [1, 1]},
    "text": {"dropout": 0.0},  # masks of dropout are drawn per process
    "augment": {"flip": True, "crop_share": 0.2, "word_dropout": 0.2},
    "schedule": {"batch_size": 16, "peak_lr": 1e-3},
}


# in float32, so that losses can be compared closely
LEARN = """
import sys
from pathlib import Path
from shopvl.training import loop
from shopvl.training.experiment import read_experiment
from shopvl.training.pretraining import pretrain

loop.bf16_is_fast = lambda: False
pretrain(read_experiment(Path(sys.argv[1])), Path(sys.argv[2]))
"""


def losses(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]


@pytest.mark.zoo
@pytest.mark.timeout(600)
def test_two_processes_have_the_losses_of_one(toy_table: Path, tmp_path: Path) -> None:
    told = {"recipe": "tri-clip", "size": "tiny", "catalog": str(toy_table), "split": None, "epochs": 2}
    experiment = tmp_path / "shared.yaml"
    experiment.write_text(yaml.safe_dump({**told, "changes": CHANGES}))
    script = tmp_path / "learn.py"
    script.write_text(LEARN)
    shared_folder = tmp_path / "two" / "shared"
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    for start, folder in (([], tmp_path / "alone"), (torchrun, shared_folder)):
        done = subprocess.run(
            [sys.executable, *start, str(script), str(experiment), str(folder)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
    assert (shared_folder / "design" / "config.json").is_file()
    alone, shared = losses(tmp_path / "alone"), losses(shared_folder)
    assert len(alone) == len(shared) == 6
    for one, two in zip(alone, shared, strict=True):
        assert two == pytest.approx(one, rel=1e-4)
    assert shared[0] == pytest.approx(alone[0], rel=1e-5)  # before any step could add up rounding


def test_a_batch_that_cannot_be_shared() -> None:
    assert share_of(16, 2) == 8
    with pytest.raises(RecipeError, match="a batch of 15 products cannot be shared by 2 processes"):
        share_of(15, 2)
