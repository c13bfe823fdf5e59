"""Every decision has one owner: the mark of making it stands in the owner's file alone."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = [*sorted((ROOT / "shopvl").rglob("*.py")), *sorted((ROOT / "app").rglob("*.py"))]

OWNERS = {
    "from which probability on an answer is accepted": (r"\bMIN_ACCEPT_CONFIDENCE\b", {"inference/thresholds.py"}),
    "accept, review or unknown, and why": (
        r"where\(.*ACCEPTED|return \"accept\"|\"accept\" if ",
        {"inference/decide.py", "inference/decide_stated.py"},  # of heads, and of what texts state
    ),
    "whether a category has a property": (r"\bnode\.properties\b|\.properties_of\(", {"catalog/ontology.py"}),
    "singular and plural": (r"endswith\(\"s\"\)|rstrip\(\"s\"\)", {"catalog/plural.py"}),
    "a draft that takes a file's or folder's place": (
        r"\bos\.replace\(|\bos\.rename\(|\bdraft\.(replace|rename)\(|\bos\.fsync\((?!descriptor)",
        {"files.py"},
    ),
    "whether a file of our own is as it was written": (r"\bxxh3_|shopvl\\.checksum", {"checksums.py"}),
    "a small copy of a picture": (r"\.thumbnail\(\(", {"catalog/images.py"}),
    "what becomes of a picture's address": (r"\burlopen\(|\burllib\.request\b", {"catalog/downloading.py"}),
    "how large a photo is decoded": (r"\bDECODED_SIDES\b", {"data/collate.py"}),
    "which answer means that nobody knows": (r"^UNKNOWN = ", {"catalog/vocabulary.py"}),
    "what joins the levels of a category": (r"^\w.*= .*\" > \"", {"catalog/vocabulary.py"}),
    "how sure one wants to be where nobody says": (r"^DEFAULT_PRECISION\b", {"catalog/vocabulary.py"}),
    "fit, calibrate, card, save": (r"\bsave\(.*model_card\(", {"training/stages.py"}),
}


@pytest.mark.parametrize("decision", OWNERS)
def test_a_decision_is_made_in_one_place(decision: str) -> None:
    mark, owners = OWNERS[decision]
    places = {
        str(path.relative_to(ROOT)).removeprefix("shopvl/")
        for path in FILES
        if re.search(mark, path.read_text("utf-8"), re.MULTILINE)
    }
    assert places == owners
