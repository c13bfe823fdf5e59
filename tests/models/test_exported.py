"""Image towers through other runtimes: the same outputs, exported once, the fastest taken."""

import gc
import json
import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from shopvl.errors import DesignError
from shopvl.models import exported
from shopvl.models.attention import BlockSettings, Encoder
from shopvl.models.backbones import TimmTower, TransformersImageTower
from shopvl.models.concat_towers import ConcatTowers
from shopvl.models.exported import Choice, ExportedLook, Tower, fastest, look_through, towers_in
from shopvl.models.fold_batchnorm import fold_batchnorm
from shopvl.models.inputs import PatchEmbedding, VisionTransformer
from shopvl.models.small_maps import SmallMapConv
from shopvl.models.thumbnail import ThumbnailNet
from shopvl.runtime.engine import LIBRARIES, Engine, Library

SIZE = (32, 24)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "shopvl" / "towers"


def thumbnail() -> nn.Module:
    return ThumbnailNet(stem=8, widths=(8, 16), blocks=(1, 1), crop_share=0.8)


def lite() -> nn.Module:
    return TimmTower("test_efficientnet", SIZE, False, {"pad_type": "same"})


def patches() -> nn.Module:
    return VisionTransformer(PatchEmbedding(SIZE, 8, 16), Encoder(2, BlockSettings(16, 2)), "class")


def clip() -> nn.Module:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    return TransformersImageTower(CLIPVisionModel(CLIPVisionConfig(**sizes, image_size=32, patch_size=8)))


def both() -> nn.Module:
    return ConcatTowers([thumbnail(), lite()], [SIZE, (40, 32)])


def made(make) -> nn.Module:
    torch.manual_seed(0)
    module = make().eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.bias.data.uniform_(0, 0.5)
        if isinstance(part, SmallMapConv):
            part.cache_parts()
    return module


def size_of(make) -> tuple[int, int]:
    return {clip: (32, 32), both: (40, 32)}.get(make, SIZE)


def towers_of(module: nn.Module, size_px: tuple[int, int]) -> list[Tower]:
    return towers_in(module, lambda: module.encode(torch.rand(2, 3, *size_px)))


@pytest.fixture(params=[library.name for library in LIBRARIES])
def library(request: pytest.FixtureRequest) -> Library:
    (found,) = (one for one in LIBRARIES if one.name == request.param)
    if found.lacking:
        pytest.skip(f"{', '.join(found.lacking)} is not installed")
    return found


@pytest.mark.parametrize("make", [thumbnail, lite, patches, clip, both])
def test_every_kind_of_tower_gives_the_same_outputs(make, library: Library) -> None:
    module, size_px = made(make), size_of(make)
    pictures = torch.rand(70, 3, *size_px)
    with torch.inference_mode():
        pooled, cells = module.encode(pictures)
        for tower in towers_of(module, size_px):
            tower.use(look_through(tower, library, "float32"))
        for count in (1, 2, 3, 33, 70):
            other, other_cells = module.encode(pictures[:count])
            torch.testing.assert_close(other, pooled[:count], atol=1e-4, rtol=1e-3)
            torch.testing.assert_close(other_cells, [one[:count] for one in cells], atol=1e-4, rtol=1e-3)
    looks = [part for part in module.modules() if isinstance(getattr(part, "_encode_once", None), ExportedLook)]
    looks += [part for part in module.modules() if isinstance(getattr(part, "encode", None), ExportedLook)]
    assert len(looks) == (2 if make is both else 1)


def test_half_precision_is_near(library: Library) -> None:
    if "bfloat16" not in library.precisions:
        pytest.skip(f"{library.name} has no bfloat16 on a CPU")
    module = made(thumbnail)
    (tower,) = towers_of(module, SIZE)
    pictures = torch.rand(8, 3, *SIZE)
    with torch.inference_mode():
        pooled = module.encode(pictures)[0]
        tower.use(look_through(tower, library, "bfloat16"))
        assert torch.cosine_similarity(module.encode(pictures)[0], pooled).min() > 0.999


@pytest.fixture
def openvino() -> Library:
    (found,) = (one for one in LIBRARIES if "int8" in one.precisions)
    if found.lacking:
        pytest.skip("openvino is not installed")
    return found


def rounded(x: torch.Tensor, widest: torch.Tensor | float, steps: int) -> torch.Tensor:
    return (x / widest * steps).round().clamp(-steps, steps) * (widest / steps)


class Bordered(nn.Module):
    """A convolution that reads a border of zeros, as wide as the size of the pictures asks for, on two sides."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2)

    def forward(self, pixels_B3YX: torch.Tensor) -> torch.Tensor:
        height, width = pixels_B3YX.shape[2:]
        return self.conv(nn.functional.pad(pixels_B3YX.clamp(min=0.1), (0, 1 - width % 2, 0, 1 - height % 2))).relu()


def test_borders_become_part_of_the_convolutions_that_read_them(openvino: Library, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, pictures = Bordered().eval(), torch.rand(4, 3, *SIZE)
    with torch.no_grad():
        openvino.engine().export(net, pictures, tmp_path)
        (said,) = openvino.engine().load(tmp_path, "float32", 1)(pictures)
        assert said.allclose(net(pictures), atol=1e-5)
    written = (tmp_path / "net.xml").read_text("utf-8")
    assert 'type="Convolution"' in written
    assert 'type="Pad"' not in written


def test_int8_is_a_net_whose_convolutions_read_and_weigh_whole_numbers(openvino: Library, monkeypatch) -> None:
    """A plain loop over torch's own convolutions, with their inputs and weights rounded, gives the same."""
    monkeypatch.setattr("shopvl.runtime.openvino._hint_beside_int8", lambda: "f32")
    torch.manual_seed(0)
    module, pictures = thumbnail().eval(), torch.rand(16, 3, *SIZE)
    for part in (part for part in module.modules() if isinstance(part, nn.BatchNorm2d)):
        part.weight.data.uniform_(0.5, 1)  # some begin at zero
        part.bias.data.uniform_(0, 0.5)
    assert fold_batchnorm(module, lambda: [module.encode(pictures)[0]]) == 7
    (tower,) = towers_in(module, lambda: module.encode(pictures))
    _, *own = (part for part in module.modules() if isinstance(part, nn.Conv2d))
    read: dict[nn.Module, float] = {}
    hooks = [part.register_forward_pre_hook(lambda part, x: read.update({part: float(x[0].max())})) for part in own]
    with torch.inference_mode():
        look = look_through(tower, openvino, "int8")
        read.clear()
        plain = tower.encode(tower.seen_B3YX)[0]
        for hook in hooks:
            hook.remove()
        for part in own:
            part.weight.data = rounded(part.weight, part.weight.abs().amax((1, 2, 3), keepdim=True), 127)
            top = 1.2 * read[part]
            part.register_forward_pre_hook(lambda _, x, top=top: (rounded(x[0].clamp(0, top), top, 255),))
        looped = tower.encode(tower.seen_B3YX)[0]
        said = look(tower.seen_B3YX)[0]
    assert 5e-4 * plain.norm() < (said - plain).norm() < 0.05 * plain.norm()
    assert (said - looped).norm() < 0.3 * (said - plain).norm()


def test_as_many_first_convolutions_stay_unrounded_as_outputs_take(openvino: Library) -> None:
    module, moved, rounded_ones = made(thumbnail), [], []
    (tower,) = towers_of(module, SIZE)
    exported_to = exported.exported(tower, openvino)
    with torch.inference_mode():
        plain = tower.encode(tower.seen_B3YX)[0]
        for far in (1.0, 1e-9):
            folder = exported_to.parent / f"far-{far}"
            folder.mkdir()
            openvino.engine().quantize(exported_to, tower.seen_B3YX, folder, far=far)
            said = openvino.engine().load(folder, "int8", 1)(tower.seen_B3YX)[0]
            moved.append(float((said - plain).norm() / plain.norm()))
            rounded_ones.append((folder / "net.xml").read_text("utf-8").count('type="FakeQuantize"'))
    assert moved[0] > moved[1] > 0
    assert rounded_ones[0] > rounded_ones[1] == 2  # what the last convolution reads, and its weights


def test_a_tower_that_int8_carries_far_off_is_left_alone(openvino: Library, monkeypatch) -> None:
    module = made(thumbnail)
    (tower,) = towers_of(module, SIZE)
    monkeypatch.setitem(exported.FAR, "int8", 1e-6)
    with pytest.raises(DesignError, match=r"openvino .* gives other outputs than PyTorch"):
        look_through(tower, openvino, "int8")
    best = fastest(tower, [(openvino, "int8")], bfloat16=False, measures=True)
    assert best is None


def test_what_a_runtime_was_not_exported_for_the_tower_does_itself(library: Library) -> None:
    module = made(patches)
    kept = torch.rand(3, 12) < 0.5
    kept[:, 0] = True
    pictures = torch.rand(3, 3, *SIZE)
    with torch.inference_mode():
        expected, none = module.encode(pictures, kept)[0], module.encode(pictures[:0])[0]
        (tower,) = towers_of(module, SIZE)
        tower.use(look_through(tower, library, "float32"))
        torch.testing.assert_close(module.encode(pictures, kept)[0], expected)
        assert module.encode(pictures[:0])[0].shape == none.shape


def test_signals_are_handled_after_a_runtime_has_gone(library: Library) -> None:
    """The stack that a library sets up for signal handlers must not be freed while it is the process's."""
    tower = towers_of(made(thumbnail), SIZE)[0]
    for _ in range(3):
        look_through(tower, library, "float32")
        gc.collect()
        before = signal.signal(signal.SIGUSR1, lambda *_: None)
        signal.raise_signal(signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, before)


class Scripted(Engine):
    """Says what it is told to, and counts what it is asked for."""

    def __init__(self, tower: Tower, off: float = 0.0, fault: Exception | None = None) -> None:
        self.tower, self.off, self.fault, self.exports = tower, off, fault, 0
        self.encode = tower.encode

    def export(self, net: nn.Module, example: torch.Tensor, folder: Path) -> None:
        self.exports += 1
        if self.fault is not None:
            raise self.fault
        (folder / "net").touch()

    def load(self, folder: Path, precision: str, threads: int):
        assert (folder / "net").is_file()

        def run(rows: torch.Tensor) -> list[torch.Tensor]:
            pooled, cells = self.encode(rows)
            return [pooled * (1 + self.off), *cells]

        return run


def scripted(monkeypatch: pytest.MonkeyPatch, **engines: Engine) -> list[Library]:
    monkeypatch.setattr(Library, "engine", lambda library: engines[library.name])
    return [Library(name, ("torch",), ("float32", "bfloat16")) for name in engines]


def choices(libraries: list[Library], bfloat16: bool = False) -> list[Choice]:
    return [(library, told) for library in libraries for told in library.ways(bfloat16, False)]


def test_a_tower_is_exported_once_and_anew_when_its_weights_change(monkeypatch, cache: Path) -> None:
    module = made(thumbnail)
    (tower,) = towers_of(module, SIZE)
    (library,) = scripted(monkeypatch, one=(engine := Scripted(tower)))
    look_through(tower, library, "float32")
    look_through(towers_of(module, SIZE)[0], library, "float32")
    assert engine.exports == 1
    with torch.no_grad():
        next(module.parameters()).mul_(1.1)
    look_through(towers_of(module, SIZE)[0], library, "float32")
    assert engine.exports == 2
    assert len([folder for folder in cache.iterdir() if folder.is_dir()]) == 2


def test_an_export_that_fails_leaves_nothing_behind(monkeypatch, cache: Path) -> None:
    (tower,) = towers_of(made(thumbnail), SIZE)
    (library,) = scripted(monkeypatch, one=Scripted(tower, fault=RuntimeError("no such operator")))
    with pytest.raises(RuntimeError, match="no such operator"):
        look_through(tower, library, "float32")
    assert [path.name for path in tower.folder.iterdir()] == [".lock"]


def test_a_runtime_with_other_outputs_is_refused(monkeypatch) -> None:
    (tower,) = towers_of(made(thumbnail), SIZE)
    (library,) = scripted(monkeypatch, one=Scripted(tower, off=0.01))
    with pytest.raises(DesignError, match=r"one .* gives other outputs than PyTorch for the tower ThumbnailNet"):
        look_through(tower, library, "float32")
    look_through(tower, library, "bfloat16")


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [
        ({"torch": 1.0, "one": 0.5, "two": 0.7}, "one"),
        ({"torch": 1.0, "one": 0.7, "two": 0.5}, "two"),
        ({"torch": 1.0, "one": 0.95, "two": 2.0}, None),  # as good as equal: PyTorch
    ],
)
def test_the_fastest_is_taken_and_remembered(monkeypatch, seconds: dict[str, float], wanted: str | None) -> None:
    (tower,) = towers_of(made(thumbnail), SIZE)
    libraries = scripted(monkeypatch, one=Scripted(tower), two=Scripted(tower))
    asked = []

    def timed(looks, tower: Tower, *, bfloat16: bool) -> dict[str, float]:
        asked.append(sorted(looks))
        return {way: seconds[way.split()[0].split("-")[0]] for way in looks}

    monkeypatch.setattr(exported, "timed", timed)
    assert fastest(tower, choices(libraries), bfloat16=False, measures=False) is None
    assert asked == []
    for measures in (True, True, False):
        best = fastest(tower, choices(libraries), bfloat16=False, measures=measures)
        assert (best and best[0].name) == wanted
    assert len(asked) == 1
    fastest(tower, choices(libraries, True), bfloat16=True, measures=True)  # another precision is another measurement
    assert len(asked) == 2
    monkeypatch.setattr(exported, "machine_name", lambda: "another machine")
    assert fastest(tower, choices(libraries), bfloat16=False, measures=False) is None


def test_a_library_that_cannot_take_a_tower_is_not_asked_twice(monkeypatch) -> None:
    (tower,) = towers_of(made(thumbnail), SIZE)
    bad = Scripted(tower, fault=RuntimeError("no such operator"))
    libraries = scripted(monkeypatch, one=bad)
    for _ in range(2):
        assert fastest(tower, choices(libraries), bfloat16=False, measures=True) is None
    assert bad.exports == 1


def test_a_file_of_speeds_that_is_damaged_counts_for_nothing(monkeypatch) -> None:
    (tower,) = towers_of(made(thumbnail), SIZE)
    libraries = scripted(monkeypatch, one=Scripted(tower))
    tower.folder.mkdir(parents=True)
    (tower.folder / exported.SPEEDS).write_text("{")
    fastest(tower, choices(libraries), bfloat16=False, measures=True)
    assert len(json.loads((tower.folder / exported.SPEEDS).read_text())) == 1
