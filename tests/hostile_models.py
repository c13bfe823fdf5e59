"""What strangers may write into the JSON of a model folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def without_checksums(folder: Path, to: Path) -> Path:
    """A copy in the format before checksums: whoever changes a folder on purpose makes them anew."""
    shutil.copytree(folder, to)
    config = json.loads((to / "config.json").read_text())
    former = {name: value for name, value in config.items() if not name.startswith("checksum")}
    (to / "config.json").write_text(json.dumps({**former, "format": 6}))
    return to


def changed(plain: Path, to: Path, file: str, change: Change) -> Path:
    """A copy of a model folder with another value in one of its files."""
    values = json.loads((plain / file).read_text())
    other = change(values)
    folder = Path(shutil.copytree(plain, to))
    (folder / file).write_text(json.dumps(values if other is None or file == "config.json" else other))
    return folder
