"""Linear maps through oneDNN: the same numbers, where it is faster."""

import pytest
import torch
from torch import nn

from shopvl.models import fast_linear
from shopvl.models.fast_linear import OneDnnLinear, onednn_is_fast, use_onednn

pytestmark = pytest.mark.skipif(
    not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="this torch is built without oneDNN"
)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7,), (3, 7), (2, 5, 7), (0, 7), (2, 0, 7)])
def test_the_same_numbers_as_torch(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    plain = nn.Linear(7, 4, bias=bias)
    own, x = OneDnnLinear.of(plain), torch.randn(*shape)
    assert own.weight is plain.weight
    with torch.inference_mode():
        torch.testing.assert_close(own(x), plain(x), atol=1e-6, rtol=1e-5)
        sliced = torch.randn(9, 14)[::2, ::2]
        torch.testing.assert_close(own(sliced), plain(sliced), atol=1e-6, rtol=1e-5)
        shown = torch.randn(1, 7).expand(5, 7)
        torch.testing.assert_close(own(shown), plain(shown), atol=1e-6, rtol=1e-5)


def test_gradients_and_half_precision_are_torchs_own() -> None:
    torch.manual_seed(0)
    plain, x = nn.Linear(7, 4), torch.randn(3, 7)
    own = OneDnnLinear.of(plain)
    (grad,) = torch.autograd.grad(own(x).square().sum(), own.weight)
    (expected,) = torch.autograd.grad(plain(x).square().sum(), plain.weight)
    assert torch.equal(grad, expected)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert own(x).dtype == torch.bfloat16
        assert torch.equal(own(x), plain(x))


def test_every_plain_linear_map_is_replaced_and_no_other() -> None:
    class Own(nn.Linear):
        pass

    own = Own(4, 4)
    net = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 2), nn.ReLU()), own)
    use_onednn(net)
    assert [type(part) for part in net.modules() if isinstance(part, nn.Linear)] == [OneDnnLinear, OneDnnLinear, Own]


@pytest.mark.parametrize(("seconds", "fast"), [((1.0, 0.5), True), ((1.0, 0.9), False), ((0.5, 1.0), False)])
def test_the_faster_is_taken(monkeypatch: pytest.MonkeyPatch, seconds: tuple[float, float], fast: bool) -> None:
    """The clock goes on by as much as each contender is said to take."""
    now = 0.0

    def by(taken: float):
        def forward(self: nn.Module, x: torch.Tensor) -> torch.Tensor:
            nonlocal now
            now += taken
            return x

        return forward

    monkeypatch.setattr(nn.Linear, "forward", by(seconds[0]))
    monkeypatch.setattr(OneDnnLinear, "forward", by(seconds[1]))
    monkeypatch.setattr(fast_linear.time, "perf_counter", lambda: now)
    onednn_is_fast.cache_clear()
    try:
        assert onednn_is_fast() == fast
    finally:
        onednn_is_fast.cache_clear()
