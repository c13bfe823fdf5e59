"""What the arguments of metrics must be."""

from __future__ import annotations

from typing import Any

from shopvl.errors import ShopvlError


class MetricError(ShopvlError):
    """Numbers that cannot be measured: wrong lengths, NaN, or nothing at all."""


def same_length(name: str, value: Any, other_name: str, other: Any) -> None:
    """Raise MetricError where there is not one of each."""
    if len(value) != len(other):
        raise MetricError(f"{len(value)} {name} but {len(other)} {other_name}; one each is wanted")
    if not len(value):
        raise MetricError(f"no {name} were given; there is nothing to measure")
