"""Convolutions over small maps against torch's own, forwards and backwards."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from shopvl.models.small_maps import FEWEST, SmallMapConv, reach

SIZES = [
    ((1, 1), True),
    ((2, 1), True),
    ((3, 2), True),
    ((4, 3), None),
    ((20, 15), False),
]  # whether they count as small


def both(kernel: int, stride: int, *, bias: bool = False) -> tuple[nn.Conv2d, SmallMapConv]:
    """torch's convolution and ours with the same weights."""
    torch.manual_seed(0)
    theirs = nn.Conv2d(5, 7, kernel, stride, kernel // 2, bias=bias)
    ours = SmallMapConv(5, 7, kernel, stride, kernel // 2, bias=bias)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def maps(count: int, map_size: tuple[int, int]) -> torch.Tensor:
    return torch.rand(count, 5, *map_size).contiguous(memory_format=torch.channels_last)


@pytest.fixture
def torchs_own(monkeypatch) -> list[int]:
    """Notes every call of torch's convolution by one of ours."""
    asked: list[int] = []
    usual = nn.Conv2d.forward
    monkeypatch.setattr(
        nn.Conv2d, "forward", lambda self, x: (isinstance(self, SmallMapConv) and asked.append(1)) or usual(self, x)
    )
    return asked


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("map_size", "small"), SIZES)
def test_values_and_gradients_are_those_of_a_convolution(map_size, small, stride, kernel, torchs_own) -> None:
    theirs, ours = both(kernel, stride)
    x = maps(FEWEST, map_size)
    found = []
    for conv in (theirs, ours):
        own = x.clone().requires_grad_()
        out = conv(own)
        torch.manual_seed(1)
        (out * torch.rand(out.shape)).sum().backward()
        found.append((out, own.grad, conv.weight.grad))
    for theirs_is, ours_is in zip(*found, strict=True):
        torch.testing.assert_close(ours_is, theirs_is, atol=1e-5, rtol=1e-4)
    if kernel == 3 and small is not None:
        assert bool(torchs_own) is not small


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("map_size", [(1, 1), (3, 2)])
def test_bfloat16_is_as_near_as_the_convolutions_own(map_size, stride, torchs_own) -> None:
    theirs, ours = both(3, stride)
    x = maps(FEWEST, map_size)
    exact = theirs(x)
    with torch.autocast("cpu", torch.bfloat16):
        out = ours(x)
        assert not torchs_own
        error, usual = ((one.float() - exact).abs().max().item() for one in (out, theirs(x)))
    assert out.dtype == torch.bfloat16
    assert error <= 2 * usual + 1e-3
    out.sum().backward()
    exact.sum().backward()
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, atol=2e-2, rtol=2e-2)


def test_a_kernel_in_use_is_cut_up_once_for_every_size_and_has_a_bias(torchs_own) -> None:
    theirs, ours = both(3, 1, bias=True)
    frozen = copy.deepcopy(ours)
    frozen.cache_parts()
    with torch.inference_mode():
        for _ in range(2):
            for map_size in ((3, 2), (2, 2)):
                one = maps(1, map_size)
                torch.testing.assert_close(frozen(one), theirs(one))
    assert not torchs_own
    assert frozen._parts.cache_info()[:2] == (2, 2)
    one = maps(1, (3, 2))
    torch.testing.assert_close(ours(one), theirs(one))  # cutting up a kernel for one map does not pay
    assert torchs_own


def test_what_a_padded_kernel_reads_of_a_small_map() -> None:
    rows, columns = reach(3, 3, 1, 1), reach(2, 3, 1, 1)
    assert rows.share_read * columns.share_read == pytest.approx(28 / 54)
    assert columns.of_output == ((slice(1, 3, 1), slice(0, 2, 1)), (slice(0, 2, 1), slice(0, 2, 1)))
