"""Which precision a machine is asked for."""

from collections.abc import Iterator

import pytest
import torch

from shopvl.runtime import bfloat16


@pytest.fixture(autouse=True)
def asked_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A processor, whatever the machine has; and no answer that was given before."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    bfloat16.bf16_is_fast.cache_clear()
    yield
    bfloat16.bf16_is_fast.cache_clear()


@pytest.mark.parametrize(
    ("able", "share", "fast"),
    [
        ({}, 0.1, False),
        ({"avx512_bf16": True}, 0.5, True),
        ({"avx512_bf16": True}, 1.9, False),  # seen on a Xeon whose AMX is hidden
        ({"avx512_bf16": True, "amx_bf16": True}, 1.9, True),
    ],
)
def test_bfloat16_is_taken_where_it_is_faster(monkeypatch: pytest.MonkeyPatch, able, share, fast) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    monkeypatch.setattr(bfloat16, "_share_of_float32s_time", lambda dtype: share)
    assert bfloat16.bf16_is_fast() == fast


def test_a_precision_costs_as_much_as_itself() -> None:
    assert bfloat16._share_of_float32s_time(torch.float32) == pytest.approx(1, rel=0.5)
