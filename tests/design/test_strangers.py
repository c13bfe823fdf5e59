"""Model folders from strangers: one sentence for each oddity, no network, and no memory for what they only claim."""

from __future__ import annotations

import json
import resource
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shopvl.design import limits
from shopvl.design.design import Design
from shopvl.errors import DesignError, ShopvlError
from shopvl.recipes import find

Change = Callable[[dict[str, Any]], Any]


def put(*path: str | int, value: Any) -> Change:
    """A change of one value in a JSON object."""

    def change(values: dict[str, Any]) -> None:
        for step in path[:-1]:
            values = values[step]
        values[path[-1]] = value

    return change


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


CONFIGS: dict[str, Change] = {
    "labels a list": put("labels", value=["Colour"]),
    "labels of numbers": put("labels", "Colour", value=[1, 2]),
    "labels a text": put("labels", "Colour", value="red"),
    "labels null": put("labels", value=None),
    "more labels than weights": put("labels", "Colour", value=[str(n) for n in range(50_000)]),
    "a format in words": put("format", value="six"),
    "no format": put("format", value=None),
    "a format of parts": put("format", value=[6]),
    "a broken format": put("format", value=5.5),
    "format 0": put("format", value=0),
    "format true": put("format", value=True),
    "towers a list": put("towers", value=[]),
    "towers a text": put("towers", value="clip"),
    "another tower": put("towers", value={"sound": {}}),
    "towers nested": put("towers", value={"image": deep(400)}),
    "recipe null": put("recipe", value=None),
    "recipe a list": put("recipe", value=[]),
    "recipe nested": put("recipe", "image", value=deep(900)),
    "an unknown part": put("recipe", "image", "kind", value="telepathy"),
    "no image": put("recipe", "image", value=None),
    "1e9 wide": put("recipe", "fusion", "width", value=10**9),
    "1e300 wide": put("recipe", "fusion", "width", value=10**300),
    "9e6 wide": put("recipe", "fusion", "width", value=9_000_000),
    "negative": put("recipe", "fusion", "width", value=-4),
    "not a number": put("recipe", "fusion", "temperature", value=float("nan")),
    "1e6 layers": put("recipe", "text", "layers", value=10**6),
    "1e5 tokens": put("recipe", "text", "max_tokens", value=9_000_000),
    "wide and deep": lambda config: config["recipe"]["text"].update(width=65_536, layers=5000, heads=1),
    "huge pictures": put("recipe", "image", "size_px", value=[10**6, 10**6]),
    "a net of a hub": put("recipe", "image", "name", value="hf-hub:someone/net"),
    "a net of a hub, spelled otherwise": put("recipe", "image", "name", value="hf_hub:someone/net"),
    "a net of another folder": put("recipe", "image", "name", value="local-dir:/etc"),
    "a net that there is not": put("recipe", "image", "name", value="no_such_net"),
    "weights of another file": put("recipe", "image", "options", value={"checkpoint_path": "/etc/passwd"}),
    "weights of a hub": put("recipe", "image", "options", value={"pretrained_strict": True}),
    "an option of a net": put("recipe", "image", "options", value={"depth": 3}),
    "a hub's tower": put(
        "recipe", "image", value={"kind": "transformers-image", "name": "someone/clip", "size_px": [32, 32]}
    ),
    "a hub's words": put("recipe", "text", value={"kind": "transformers-text", "name": "someone/bert"}),
    "checksums a list": put("checksums", value=[]),
    "checksums of numbers": put("checksums", value={"model.safetensors": 3}),
}
CALIBRATIONS: dict[str, Change] = {
    "a list": lambda values: [],
    "figures a list": put("image", value=[]),
    "an answer a text": put("image", "Colour", value="good"),
    "a temperature in words": put("image", "Colour", "temperature", value="hot"),
    "no temperature": put("image", "Colour", "temperature", value=0),
    "an endless temperature": put("image", "Colour", "temperature", value=float("inf")),
    "two numbers of three": put("image", "Colour", "shape", value=[1, 1]),
    "a curve of texts": put("image", "Colour", "curve", value=[["a", "b"]]),
    "a curve of single numbers": put("image", "Colour", "curve", value=[0.5]),
    "groups a list": put("image", "Colour", "groups", value=[1]),
    "more fields": put("image", "Colour", "colour", value=1),
    "nested": put("image", "Colour", "curve", value=deep(900)),
    "margins in words": put("first look", value={"image": {"Colour": "wide"}}),
}


@pytest.fixture(scope="module")
def plain(tuned_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the format before checksums: whoever changes a folder on purpose makes them anew."""
    folder = tmp_path_factory.mktemp("plain") / "model"
    shutil.copytree(tuned_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    former = {name: value for name, value in config.items() if not name.startswith("checksum")}
    (folder / "config.json").write_text(json.dumps({**former, "format": 6}))
    assert Design.from_pretrained(folder).name == Design.from_pretrained(tuned_folder).name
    return folder


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, and it is noticed when somebody tries."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.setenv(name, "0")

    def refuse(*told: object, **further: object) -> None:
        pytest.fail("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def refused(folder: Path) -> str:
    """The sentence that a folder is refused with, at little cost."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ShopvlError) as fault:
        Design.from_pretrained(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000  # kB
    told = str(fault.value)
    assert len(told) <= 1000
    assert "\n" not in told
    return told


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.timeout(60, func_only=True)
def test_odd_configs(plain: Path, tmp_path: Path, closed: None, name: str) -> None:
    config = json.loads((plain / "config.json").read_text())
    CONFIGS[name](config)
    folder = Path(shutil.copytree(plain, tmp_path / "odd"))
    (folder / "config.json").write_text(json.dumps(config))
    assert str(folder) in refused(folder)


@pytest.mark.parametrize("name", CALIBRATIONS)
def test_odd_calibrations(plain: Path, tmp_path: Path, name: str) -> None:
    values = json.loads((plain / "calibration.json").read_text())
    changed = CALIBRATIONS[name](values)
    folder = Path(shutil.copytree(plain, tmp_path / "odd"))
    (folder / "calibration.json").write_text(json.dumps(values if changed is None else changed))
    assert "calibration.json" in refused(folder)


@pytest.mark.parametrize("file", ["config.json", "calibration.json", "ontology.json", "tokenizer.json"])
@pytest.mark.parametrize(
    "text", ["", "null", "[]", "7", '"text"', "{", "[" * 5000, "[" * 900 + "]" * 900, '{"a": "\\ud800"}', "\xff\xfe{}"]
)
def test_files_that_are_other_json(plain: Path, tmp_path: Path, file: str, text: str) -> None:
    folder = Path(shutil.copytree(plain, tmp_path / "odd"))
    (folder / file).write_text(text, encoding="latin-1")
    refused(folder)


def test_weights_of_another_model_and_none(plain: Path, make_design, tmp_path: Path) -> None:
    make_design(find("vilt", "tiny")).save(tmp_path / "other")
    for number, data in enumerate(
        ((tmp_path / "other" / "model.safetensors").read_bytes(), b"", b"\xff" * 64, (2**60).to_bytes(8, "little"))
    ):
        folder = Path(shutil.copytree(plain, tmp_path / str(number)))
        (folder / "model.safetensors").write_bytes(data)
        refused(folder)
        shutil.copyfile(plain / "model.safetensors", folder / "model.safetensors")
        (folder / "familiarity.safetensors").write_bytes(data)
        if number:
            refused(folder)


def test_towers_of_transformers_are_taken_from_the_folder(closed: None) -> None:
    """Without code or places that their configuration names."""
    recipe = find("tri-clip", "tiny")
    image = {"kind": "transformers-image", "name": "someone/vit", "size_px": [32, 32]}
    recipe = type(recipe).from_dict({**recipe.to_dict(), "image": image})
    config = {"model_type": "vit", "_name_or_path": "someone/vit", "auto_map": {"AutoModel": "evil--code"}}
    plain = limits.checked_claims(recipe, {"image": config}, Path("folder"))
    assert plain == {"image": {"model_type": "vit"}}
    odd = (
        {"model_type": "timm_wrapper", "architecture": "hf-hub:someone/net"},
        {"model_type": "vit", "backbone": "someone/net"},
        {"model_type": "vit", "use_pretrained_backbone": True},
        {"model_type": "vit", "hidden_size": 10**9},
        {},
    )
    for config in odd:
        with pytest.raises(DesignError, match=r"no model that can be opened|does not hold its configuration"):
            limits.checked_claims(recipe, {"image": config}, Path("folder"))
