"""Many people who send the app pictures that are made to harm it, all at once: it stays small, and answers others."""

import sys
from pathlib import Path

import pytest

from shopvl.paths import SHIPPED

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments" / "bench"))
from hostile_uploads import measure
from running_app import running_app

MOST_MB = 2500


@pytest.mark.zoo
@pytest.mark.timeout(900)
def test_fifty_hostile_uploads_at_once(tmp_path: Path) -> None:
    with running_app("--model", SHIPPED, "--work", tmp_path / "work") as app:
        figures = measure(app, tmp_path, people=50)
    assert figures["alive"]
    assert figures["most_mb"] < MOST_MB
    assert figures["after_mb"] - figures["resting_mb"] < 300, "what a picture took is handed back"
    assert figures["good_answers"] >= 1
    assert figures["good_mixed_up"] == 0
    assert {end.rpartition(": ")[2] for end in figures["ends"]} <= {"answered", "refused", "asked to come again"}
    assert sum(figures["ends"].values()) == 50
