"""YAML of strangers: plain values, or one line that says why not."""

from itertools import pairwise
from pathlib import Path

import pytest

from shopvl.yaml_file import MOST_BYTES, read_yaml

LETTERS = "abcdefghijklmnopqrstu"
BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise(LETTERS))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (BOMB, "its aliases make more than 1,000,000 values"),
        ("a: &a [*a]\n", "its aliases make more than 1,000,000 values"),
        ('a: "\\ud83d"\n', "surrogates not allowed"),
        ("!!python/object/apply:os.system [id]", "could not determine a constructor"),
        ("[" * 3000, "recursion"),
        ("a: [1", "expected"),
        ("a" * (MOST_BYTES + 1), "larger than 1 MB"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ValueError, match=why) as refused:
        read_yaml(tmp_path / "a.yaml")
    assert "\n" not in str(refused.value)


def test_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("\ufeffa: &a {b: [1, 2.5, x, null]}\nc: *a\n", "utf-8")
    assert read_yaml(tmp_path / "a.yaml") == {name: {"b": [1, 2.5, "x", None]} for name in ("a", "c")}
