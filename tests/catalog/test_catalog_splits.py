"""Splits by title: stable, and spread as asked."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from shopvl.catalog.splits import SHARES, split_of


def test_a_title_keeps_its_split_for_ever():
    # written down once: a model's test set must not move between versions
    assert [split_of(f"title {n}") for n in range(12)] == PINNED


PINNED = ["val", "train", "test", "test", "train", "train", "test", "train", "train", "train", "train", "train"]


@given(st.text())
def test_spelling_makes_no_difference(title):
    wanted = split_of(title)
    assert wanted in ("train", "val", "test")
    assert split_of(f"  {title}\n") == wanted
    assert split_of(title.replace(" ", "\u3000 ")) == wanted
    assert split_of(title.casefold()) == wanted


def test_shares_are_met():
    counts = Counter(split_of(f"title {n}") for n in range(20_000))
    for name, share in SHARES:
        assert abs(counts[name] / 20_000 - share) < 0.015
