"""Model folders from strangers: one sentence for each oddity, no network, and no memory for what they only claim."""

from __future__ import annotations

import resource
import shutil
import socket
from pathlib import Path

import pytest
from hostile_models import CALIBRATIONS, CONFIGS, changed, without_checksums

from shopvl.design import limits
from shopvl.design.design import Design
from shopvl.errors import DesignError, ShopvlError
from shopvl.recipes import find


@pytest.fixture(scope="module")
def plain(tuned_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = without_checksums(tuned_folder, tmp_path_factory.mktemp("plain") / "model")
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
    folder = changed(plain, tmp_path / "odd", "config.json", CONFIGS[name])
    assert str(folder) in refused(folder)


@pytest.mark.parametrize("name", CALIBRATIONS)
def test_odd_calibrations(plain: Path, tmp_path: Path, name: str) -> None:
    folder = changed(plain, tmp_path / "odd", "calibration.json", CALIBRATIONS[name])
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
