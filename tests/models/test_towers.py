"""Towers by timm and transformers name or local folder, and those of our own."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
import transformers
from safetensors.torch import save_file
from torch import nn

from shopvl.batch import Words
from shopvl.catalog.images import decode
from shopvl.errors import DesignError, RecipeError
from shopvl.models.attention import BlockSettings, Encoder
from shopvl.models.backbones import (
    TimmTower,
    TransformersImageTower,
    TransformersTextTower,
    load_transformers,
    load_transformers_tokenizer,
)
from shopvl.models.concat_towers import ConcatTowers, at_size
from shopvl.models.fold_batchnorm import fold_batchnorm
from shopvl.models.inputs import MapCells, TextTower, WordBagTower, WordEmbedding
from shopvl.models.thumbnail import ThumbnailNet
from shopvl.models.two_crop import center_crop, mean_look
from shopvl.recipes import find


def words(rows: list[list[int]]) -> Words:
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    return Words(ids_BT=ids, real_BT=ids > 0)


def test_timm_tower_equals_timm() -> None:
    tower = TimmTower("test_resnet", (32, 24), pretrained=False, options={}).eval()
    pixels = torch.rand(2, 3, 32, 24)
    with torch.inference_mode():
        expected = tower.net((pixels - 0.5) / 0.5)
        assert tower(pixels).shape == (2, tower.width)
        torch.testing.assert_close(tower(pixels), expected)


def test_timm_local_folder_brings_its_weights(tmp_path: Path) -> None:
    import json

    net = timm.create_model("test_resnet", num_classes=0)
    save_file(net.state_dict(), tmp_path / "model.safetensors")
    config = {"architecture": "test_resnet", "num_classes": 0, "pretrained_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    tower = TimmTower(f"local-dir:{tmp_path}", (32, 32), pretrained=True, options={})
    for name, tensor in net.state_dict().items():
        assert torch.equal(tower.net.state_dict()[name], tensor), name


@pytest.mark.parametrize(
    ("name", "options"), [("no_such_net", {}), ("test_resnet", {"chanels": [8]})], ids=["name", "option"]
)
def test_timm_says_what_it_cannot_give(name: str, options: dict[str, list[int]]) -> None:
    with pytest.raises(DesignError, match=f"timm cannot give '{name}'.*local folder.*pretrained=false"):
        TimmTower(name, (32, 32), pretrained=False, options=options)


def test_hub_names_offline_say_what_to_do() -> None:
    with pytest.raises(DesignError, match=r"transformers cannot give 'nobody/nothing'.*HF_HUB_OFFLINE.*local folder"):
        load_transformers("nobody/nothing", pretrained=True)
    with pytest.raises(DesignError, match="nobody/nothing"):
        load_transformers_tokenizer("nobody/nothing")


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import CLIPConfig, CLIPModel

    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={**small, "vocab_size": 60, "max_position_embeddings": 12},
        vision_config={**small, "image_size": 32, "patch_size": 8},
        projection_dim=8,
    )
    folder = tmp_path_factory.mktemp("clip")
    CLIPModel(config).save_pretrained(folder)
    return folder


def test_transformers_folder_gives_both_halves(clip_folder: Path) -> None:
    model = load_transformers(str(clip_folder), pretrained=True).eval()
    image, text = TransformersImageTower(model), TransformersTextTower(model)
    with torch.inference_mode():
        assert image(torch.rand(2, 3, 32, 32)).shape == (2, image.width)
        short = text(words([[5, 6, 7]]), "title")
        padded = text(words([[5, 6, 7], [5, 6, 7, 8, 9]]), "title")[:1]
    torch.testing.assert_close(short, padded, atol=1e-5, rtol=1e-4)
    again = load_transformers("not used", pretrained=True, config=text.config)
    assert {n: p.shape for n, p in again.named_parameters()} == {n: p.shape for n, p in model.named_parameters()}


def text_tower(sight: str = "bidirectional", read: str = "mean", norm: str = "pre") -> TextTower:
    torch.manual_seed(0)
    words, encoder = WordEmbedding(30, 16, 10), Encoder(2, BlockSettings(16, 2, norm=norm, activation="quick-gelu"))
    with torch.no_grad():
        for parameter in [*words.parameters(), *encoder.parameters()]:
            parameter.add_(torch.randn(parameter.shape) * 0.3)  # weights begin so small that hardly anything would show
    return TextTower(words, encoder, sight, read).eval()


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_causal_tower_is_read_at_its_last_word_and_never_looks_ahead(norm: str) -> None:
    tower = text_tower("causal", "last", norm)
    with torch.inference_mode():
        text, states = tower.read(words([[3, 4, 5]]), "title")
        assert torch.equal(text, states[:, 2])
        padded, padded_states = tower.read(words([[3, 4, 5], [3, 4, 5, 6, 7]]), "title")
        torch.testing.assert_close(padded[:1], text)  # padding after the end moves nothing
        torch.testing.assert_close(padded_states[:1, :3], states)
        torch.testing.assert_close(padded_states[1:, :3], states)  # nor do later words move earlier states
        assert not torch.allclose(padded[1:], text, atol=1e-3)
        assert not torch.allclose(tower(words([[9, 4, 5]]), "title"), text, atol=1e-3)  # but the first moves the last


def test_a_bidirectional_tower_looks_ahead() -> None:
    tower = text_tower("bidirectional", "last")
    with torch.inference_mode():
        short, long = (tower.read(words([row]), "title")[1] for row in ([3, 4, 5], [3, 4, 5, 6]))
    assert not torch.allclose(short[:, 0], long[:, 0], atol=1e-3)


def test_text_tower_ignores_padding_and_tells_segments_apart() -> None:
    torch.manual_seed(0)
    for tower in (text_tower(), WordBagTower(30, 16).eval()):
        with torch.inference_mode():
            alone = tower(words([[3, 4]]), "title")
            padded = tower(words([[3, 4], [3, 4, 5, 6]]), "title")[:1]
            torch.testing.assert_close(alone, padded, atol=1e-6, rtol=1e-5)
    transformer = text_tower()
    assert not torch.allclose(transformer(words([[3, 4]]), "title"), transformer(words([[3, 4]]), "query"))
    assert not torch.allclose(transformer(words([[3, 4]]), "title"), transformer(words([[4, 3]]), "title"))


def test_thumbnail_net_halves_as_it_says() -> None:
    net = ThumbnailNet(8, (8, 12, 16), (1, 2, 1)).eval()
    sides = []
    hooks = [layer.register_forward_hook(lambda m, i, o: sides.append(tuple(o.shape[1:]))) for layer in net.layers]
    with torch.inference_mode():
        assert net(torch.rand(2, 3, 80, 60)).shape == (2, 16)
    assert [s for s in sides if s[0] in (12, 16)] == [(12, 10, 8), (12, 10, 8), (16, 5, 4)]
    for hook in hooks:
        hook.remove()


def test_map_cells_are_those_of_timms_last_map_row_by_row() -> None:
    torch.manual_seed(0)
    tower = TimmTower("test_resnet", (64, 48), pretrained=False, options={})
    _, _, rows, columns = tower.net.forward_features(torch.zeros(1, 3, 64, 48)).shape
    cells = MapCells(tower, (rows, columns), 12).eval()
    pixels = torch.rand(2, 3, 64, 48)
    with torch.inference_mode():
        tokens = cells(pixels)
        seen = tower.net.forward_features((pixels - 0.5) / 0.5)
        assert tokens.shape == (2, rows * columns, 12)
        for row, column in ((0, 0), (rows - 1, 0), (rows - 1, columns - 1)):
            place = row * columns + column
            expected = cells.norm(cells.map(seen[:, :, row, column]) + cells.position[place])
            torch.testing.assert_close(tokens[:, place], expected, atol=1e-5, rtol=1e-4)


def test_a_grid_that_is_not_the_nets_is_refused(make_design) -> None:
    recipe = find("pixel-bert", "tiny")
    with pytest.raises(RecipeError, match=r"makes 64 cells of a picture of 32x32 px, not 4 x 4; state the grid"):
        make_design(replace(recipe, image=replace(recipe.image, grid=(4, 4))))


def test_half_of_the_cells_enter_while_training_and_all_in_use(make_design, batch_of, toy_rows) -> None:
    design = make_design(find("pixel-bert", "tiny"))
    kept = batch_of(design).pictures.kept_BP
    assert (kept.sum(1) == 32).all()
    assert len({tuple(row) for row in kept.tolist()}) > 1
    picture = decode(toy_rows[0]["image"]["bytes"])
    assert design.loader.pictures([picture]).pictures.kept_BP is None


def thumbnail_net(**options: float) -> ThumbnailNet:
    return ThumbnailNet(stem=8, widths=(16, 24), blocks=(1, 1), **options)


def lite_net(**options: float) -> TimmTower:
    return TimmTower("tf_efficientnet_lite0", (40, 32), False, {}, **options)


def plain_resnet(**options: float) -> TimmTower:
    return TimmTower("test_resnet", (40, 32), False, {}, **options)


class HuggingResNet(nn.Module):
    """A net of transformers with norms in it."""

    def __init__(self) -> None:
        super().__init__()
        sizes = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 32], "embedding_size": 8}
        self.net = transformers.ResNetModel(transformers.ResNetConfig(**sizes))

    def encode(self, pixels_B3YX: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        outputs = self.net(pixel_values=pixels_B3YX)
        return outputs.pooler_output.flatten(1), [outputs.last_hidden_state.flatten(2).transpose(1, 2)]


class BranchedNet(nn.Module):
    """Four norms, two that may be folded: of the others one's input is read twice, one's comes from two parts."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.linear_norm = nn.Linear(4, 4), nn.BatchNorm1d(4)
        self.first, self.second, self.twice = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.shared_norm, self.norm, self.twice_norm = nn.BatchNorm2d(4), nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.reads_twice = True

    def encode(self, pixels_B3YX: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        x = self.shared_norm(self.second(self.shared_norm(self.first(pixels_B3YX))))
        x = self.norm(self.first(pixels_B3YX) + x)
        y = self.twice(x)
        z = self.twice_norm(y) + (y if self.reads_twice else 0)
        return self.linear_norm(self.linear(z.mean((2, 3)))), [z.flatten(2).transpose(1, 2)]


def with_norms_that_have_seen_something(net: nn.Module) -> nn.Module:
    draw = torch.Generator().manual_seed(0)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.2, generator=draw)
            part.running_var.uniform_(0.5, 1.5, generator=draw)
            part.weight.data.uniform_(0.5, 1.5, generator=draw)
            part.bias.data.uniform_(-0.5, 0.5, generator=draw)
    return net.eval()


def folded(net: nn.Module, pictures: torch.Tensor) -> tuple[nn.Module, int]:
    quick = copy.deepcopy(net)
    return quick, fold_batchnorm(quick, lambda: [(out := quick.encode(pictures))[0], *out[1]])


def norms_in(net: nn.Module) -> int:
    return sum(isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) for part in net.modules())


@pytest.mark.parametrize("make", [thumbnail_net, lite_net, plain_resnet, HuggingResNet])
def test_folded_norms_change_nothing_but_the_time(make) -> None:
    torch.manual_seed(0)
    net, pictures = with_norms_that_have_seen_something(make()), torch.rand(4, 3, 40, 32)
    quick, count = folded(net, pictures[:2])
    assert count == norms_in(net) > 3
    assert norms_in(quick) == 0
    with torch.inference_mode():
        (own, cells), (same, same_cells) = net.encode(pictures), quick.encode(pictures)
    assert own.std() > 0.01
    torch.testing.assert_close(own, same, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(cells, same_cells, atol=1e-4, rtol=1e-4)


def test_a_norm_whose_input_is_made_by_two_parts_stays() -> None:
    torch.manual_seed(0)
    net, pictures = with_norms_that_have_seen_something(BranchedNet()), torch.rand(2, 3, 8, 8)
    net.reads_twice = False
    quick, count = folded(net, pictures)
    assert count == 2
    assert [
        norm for norm in ("linear_norm", "shared_norm", "norm", "twice_norm") if norms_in(getattr(quick, norm))
    ] == [
        "shared_norm",
        "norm",
    ]
    torch.testing.assert_close(quick.encode(pictures), net.encode(pictures), atol=1e-5, rtol=1e-4)


def test_nothing_is_folded_where_that_would_change_outputs() -> None:
    """A sum reads what the convolution made before its norm: no hook sees that, the outputs do."""
    torch.manual_seed(0)
    net, pictures = with_norms_that_have_seen_something(BranchedNet()), torch.rand(2, 3, 8, 8)
    quick, count = folded(net, pictures)
    assert (count, norms_in(quick)) == (0, 4)
    torch.testing.assert_close(quick.encode(pictures), net.encode(pictures), atol=0, rtol=0)


@pytest.mark.parametrize("make", [thumbnail_net, lite_net])
def test_a_center_crop_is_averaged_in_use_and_not_while_it_learns(make) -> None:
    torch.manual_seed(0)
    net = make(crop_share=0.8).eval()
    pictures = torch.rand(3, 3, 20, 30)
    inner = nn.functional.interpolate(pictures[:, :, 2:18, 3:27], size=(20, 30), mode="bilinear")
    torch.testing.assert_close(center_crop(pictures, 0.8), inner)
    once = make().eval()
    once.load_state_dict(net.state_dict())
    with torch.inference_mode():
        (own, cells), far, near = net.encode(pictures), once.encode(pictures), once.encode(inner)
        torch.testing.assert_close(own, (far[0] + near[0]) / 2)
        for found, whole, close in zip(cells, far[1], near[1], strict=True):
            torch.testing.assert_close(found, (whole + close) / 2)
        for number, (pooled, maps) in enumerate((far, near)):
            torch.testing.assert_close(net.look(pictures, number), (pooled, maps))
        assert (net.looks, once.looks) == (2, 1)
        torch.testing.assert_close(mean_look(net.look(pictures, 0), net.look(pictures, 1)), (own, cells))
        torch.testing.assert_close(net.train().encode(pictures)[0], once.train().encode(pictures)[0])
    assert net.looks == 1


def test_towers_side_by_side_each_see_their_own_size() -> None:
    torch.manual_seed(0)
    little, bigger = thumbnail_net().eval(), lite_net(crop_share=0.8).eval()
    pictures = torch.rand(3, 3, 40, 30)
    both = ConcatTowers([little, bigger], [(20, 15), (40, 30)]).eval()
    with torch.inference_mode():
        whole, cells = both.encode(pictures)
        few, many = little.encode(at_size(pictures, (20, 15))), bigger.encode(pictures)
        looks = both.look(pictures, 0), both.look(pictures, 1)
    assert (both.looks, both.train().looks) == (2, 1)
    both.eval()
    torch.testing.assert_close(mean_look(*looks), (whole, cells), atol=1e-5, rtol=1e-4)
    assert torch.equal(looks[0][0][:, : little.width], looks[1][0][:, : little.width])  # which takes one look only
    assert not torch.equal(looks[0][0][:, little.width :], looks[1][0][:, little.width :])
    assert whole.shape == (3, both.width)
    torch.testing.assert_close(whole, torch.cat([few[0], many[0]], dim=1))
    assert [tuple(found.shape) for found in cells] == [tuple(found.shape) for found in (*few[1], *many[1])]
    assert tuple(found.shape[2] for found in cells) == both.token_widths
    quick = copy.deepcopy(both)
    fold_batchnorm(quick, lambda: quick.encode(pictures)[1])
    assert not any(isinstance(part, nn.BatchNorm2d) for part in quick.modules())
    with torch.inference_mode():
        torch.testing.assert_close(quick(pictures), whole, atol=1e-5, rtol=1e-4)


def test_a_thumbnail_made_bigger_comes_back_nearly_as_it_was() -> None:
    rows, columns = torch.meshgrid(torch.linspace(0, 6, 80), torch.linspace(0, 4, 60), indexing="ij")
    thumbnail = (rows.sin() * columns.cos() / 2 + 0.5).expand(1, 3, -1, -1)
    bigger = nn.functional.interpolate(thumbnail, size=(128, 96), mode="bilinear")
    assert at_size(bigger, (128, 96)) is bigger
    back = at_size(bigger, (80, 60))
    assert (back - thumbnail).abs().max() < 0.02
    assert back.min() >= 0
    assert back.max() <= 1
