"""Weights on disk in few bytes: what is lost, and that it is lost once."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shopvl.design import quantization
from shopvl.design.quantization import SCALE, restored, rounded


@pytest.fixture(autouse=True)
def all_big(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantization, "BIG", 8)


@given(st.integers(0, 10_000), st.sampled_from([1e-30, 1e-6, 1.0, 1e6]))
def test_what_was_restored_is_rounded_to_itself(seed: int, size: float) -> None:
    drawn = torch.randn(5, 3, 2, 2, generator=torch.Generator().manual_seed(seed)) * size
    once = rounded({"conv": drawn})
    again = rounded(restored(once))
    assert all(torch.equal(once[name], again[name]) for name in once)


def test_a_number_moves_by_half_a_step_of_its_row_at_most() -> None:
    drawn = torch.randn(7, 4, 3, 3) * torch.logspace(-6, 3, 7)[:, None, None, None]
    back = restored(rounded({"conv": drawn}))["conv"]
    for row, moved in zip(drawn, back, strict=True):
        step = row.abs().max().item() / 127 * (1 + 2**-8)  # the scale itself has eight bits
        assert (row - moved).abs().max().item() <= step * 0.75  # half a step, and what the end of the scale cuts off


def test_small_ones_are_halved_and_numbers_of_things_kept() -> None:
    given_ = {
        "bias": torch.randn(100),
        "little": torch.randn(2, 2),
        "count": torch.tensor(3),
        "zeros": torch.zeros(4, 4),
    }
    stored = rounded(given_)
    assert {name: tensor.dtype for name, tensor in stored.items()} == {
        "bias": torch.float16,
        "little": torch.float16,
        "count": torch.int64,
        "zeros": torch.int8,
        "zeros" + SCALE: torch.bfloat16,
    }
    back = restored(stored)
    assert back.keys() == given_.keys()
    assert torch.equal(back["zeros"], given_["zeros"])
    assert torch.equal(back["count"], given_["count"])
    torch.testing.assert_close(back["bias"].float(), given_["bias"], rtol=1e-3, atol=1e-4)
