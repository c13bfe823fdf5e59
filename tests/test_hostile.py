"""A set of files and addresses that strangers may send: each is read or refused in a sentence, in bounded memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

AT_LEAST, MOST_MB = 900, 600
RESTING_MB = 40  # of the process that opens a workbook


@pytest.mark.zoo
@pytest.mark.timeout(900)
def test_hostile_inputs_end_in_a_sentence_and_stay_small(tuned_folder: Path, toy_table: Path, tmp_path: Path) -> None:
    driver = Path(__file__).with_name("hostile_inputs.py")
    told = [sys.executable, driver, tmp_path, tuned_folder, toy_table]
    done = subprocess.run(told, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    *told, largest = map(json.loads, done.stdout.splitlines())
    assert len({one["name"] for one in told}) == len(told) >= AT_LEAST
    assert not [one for one in told if one["end"] in ("traceback", "hung")]
    assert not [one for one in told if "\n" in one["said"] or len(one["said"]) > 1000]
    assert not [one for one in told if one["rose_mb"] > MOST_MB]
    assert largest < RESTING_MB + MOST_MB
