"""Our EfficientNet-Lite against timm's."""

import pytest
import timm
import torch

from shopvl.models.backbones import TimmTower
from shopvl.models.efficientnet_lite import PREFIX, EfficientNetLite


@pytest.mark.parametrize("scale", ["lite0", "lite3"])
def test_the_same_weights_give_the_same_outputs(scale: str) -> None:
    torch.manual_seed(0)
    theirs, ours = timm.create_model(PREFIX + scale, num_classes=0), EfficientNetLite(scale)
    assert list(theirs.state_dict()) == list(ours.state_dict())
    ours.load_state_dict(theirs.state_dict())
    pixels = torch.randn(2, 3, 45, 66)  # sides that padding is uneven for
    with torch.no_grad():
        for net in (theirs, ours):
            net.train()(pixels)
        for (name, one), other in zip(theirs.state_dict().items(), ours.state_dict().values(), strict=True):
            torch.testing.assert_close(one, other, msg=name)  # norms have learned the same
        torch.testing.assert_close(theirs.eval()(pixels), ours.eval()(pixels))
        torch.testing.assert_close(theirs.forward_features(pixels), ours.forward_features(pixels))


def test_first_weights_are_spread_alike() -> None:
    torch.manual_seed(0)
    theirs, ours = timm.create_model(PREFIX + "lite0", num_classes=0), EfficientNetLite("lite0")
    for (name, one), other in zip(theirs.state_dict().items(), ours.state_dict().values(), strict=True):
        if one.numel() > 5000:
            assert float(other.std()) == pytest.approx(float(one.std()), rel=0.1), name


def test_a_tower_asks_timm_only_for_what_we_have_not() -> None:
    assert isinstance(TimmTower(f"{PREFIX}lite0", (32, 32), False, {}).net, EfficientNetLite)
    assert not isinstance(TimmTower(f"{PREFIX}lite0", (32, 32), False, {"drop_rate": 0.1}).net, EfficientNetLite)
