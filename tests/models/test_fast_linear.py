"""Linear maps through oneDNN: the same numbers, where it is faster; and in int8: near ones."""

import pytest
import torch
from torch import nn

from shopvl.models import fast_linear
from shopvl.models.fast_linear import Int8Linear, OneDnnLinear, int8_is_here, onednn_is_fast, use_int8, use_onednn

pytestmark = pytest.mark.skipif(
    not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="this torch is built without oneDNN"
)
fbgemm = pytest.mark.skipif(not int8_is_here(), reason="this torch is built without FBGEMM")


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


@fbgemm
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3, 33), (2, 5, 33), (0, 33)])
def test_int8_reads_and_weighs_whole_numbers(shape: tuple[int, ...], bias: bool) -> None:
    """Rounded inputs and weights through a plain map give the same; the widest inputs are cut off."""
    torch.manual_seed(0)
    plain, x, (low, high) = nn.Linear(33, 9, bias=bias), torch.randn(*shape), (-2.0, 2.5)
    own = Int8Linear.of(plain, low, high)
    step = 1.2 * (high - low) / 127
    zero = round(1.2 * 2.0 / step)
    read = ((x / step).round() + zero).clamp(0, 255).sub(zero) * step
    scale_O1 = plain.weight.detach().abs().amax(1, keepdim=True) / 127
    weighed = (plain.weight.detach() / scale_O1).round() * scale_O1
    with torch.inference_mode():
        torch.testing.assert_close(own(x), nn.functional.linear(read, weighed, plain.bias), atol=1e-4, rtol=1e-4)
        if x.numel():
            assert 1e-4 < (own(x) - plain(x)).norm() / plain(x).norm() < 0.1
        one = torch.randn(33)
        assert torch.equal(own(one), plain(one))
    assert own.weight is plain.weight
    assert own.state_dict().keys() == plain.state_dict().keys()


@fbgemm
def test_what_int8_says_of_a_row_does_not_depend_on_others() -> None:
    torch.manual_seed(0)
    own, x = Int8Linear.of(nn.Linear(16, 8), -3.0, 3.0), torch.randn(6, 16)
    with torch.inference_mode():
        beside = own(torch.cat([x, 1e3 * torch.randn(6, 16)]))[:6]
        assert torch.equal(own(x), beside)
        assert torch.equal(own(x)[2:3], own(x[2:3]))


@fbgemm
def test_gradients_and_half_precision_are_not_in_int8() -> None:
    torch.manual_seed(0)
    plain, x = nn.Linear(7, 4), torch.randn(3, 7)
    own = Int8Linear.of(plain, -1.0, 1.0)
    assert torch.equal(own(x), plain(x))
    assert own(x).requires_grad
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(own(x), plain(x))


@fbgemm
def test_maps_go_in_int8_where_outputs_stay_near() -> None:
    torch.manual_seed(0)
    seen, unseen, outside = (nn.Sequential(nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 4)) for _ in range(3))
    net, x = nn.ModuleList([seen, unseen, outside]), torch.randn(20, 16)

    def run() -> list[torch.Tensor]:
        return [seen(x), outside(x)]

    def kinds() -> list[type]:
        return [type(part) for part in net.modules() if isinstance(part, nn.Linear)]

    own = [output.detach() for output in run()]
    assert not use_int8(net, [seen, unseen], run, far=1e-6)
    assert kinds() == [nn.Linear] * 6
    assert all(map(torch.equal, run(), own))
    assert use_int8(net, [seen, unseen], run, far=0.05)
    assert kinds() == [Int8Linear] * 2 + [nn.Linear] * 4
    with torch.inference_mode():
        said = run()
    assert 0 < (said[0] - own[0]).norm() < 0.05 * own[0].norm()
    assert not use_int8(net, [unseen], run, far=0.05)  # nothing goes through it
