"""The files of a design folder: where each is, how they are replaced in one step, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from shopvl.errors import DesignError, ShopvlError
from shopvl.text.tokenizer import FILE_NAME as TOKENIZER
from shopvl.text.tokenizer import Tokenizer

# 1: no int8 weights; up to 2: other grams of titles; up to 3 and 5: other names of weights; up to 4: no familiarity
FIRST_LOOK = "first look"  # what CALIBRATION says beside its figures by inputs
FORMAT = 6
CONFIG, WEIGHTS, ONTOLOGY, CALIBRATION, FAMILIARITY, CARD = (
    "config.json",
    "model.safetensors",
    "ontology.json",
    "calibration.json",
    "familiarity.safetensors",
    "README.md",
)
READY = ".ready"  # a folder in a design's: all files of a save, not yet in their places


def file_in(folder: Path, name: str) -> Path:
    """Where a design's file is: a killed save may have left it on its way."""
    ready = folder / READY / name
    return ready if ready.is_file() else folder / name


def put_in_place(folder: Path) -> None:
    """Move the files of a finished save to their names, `config.json` last."""
    ready = folder / READY
    if ready.is_dir():
        for file in sorted(ready.iterdir(), key=lambda file: file.name == CONFIG):
            file.replace(folder / file.name)
        ready.rmdir()


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a design folder; raises DesignError for a file that is none."""
    path = file_in(folder, TOKENIZER)
    try:
        return Tokenizer.load(path.parent)
    except ShopvlError:
        raise
    except Exception as fault:  # the library knows no other kind
        raise DesignError(f"{path} is no tokenizer ({fault}); copy the folder again or train it anew") from fault


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json`, checked; raises DesignError for a folder that is not a design, or in a newer format."""
    path = file_in(folder, CONFIG)
    what_to_do = "name a folder written by `shopvl pretrain` or `shopvl tune`"
    if not path.is_file():
        found = "is a file" if folder.is_file() else "has no config.json" if folder.is_dir() else "does not exist"
        raise DesignError(f"{folder} {found}, a shopvl model folder was wanted; {what_to_do}")
    try:
        config = json.loads(path.read_text("utf-8"))
    except ValueError as fault:
        raise DesignError(f"{path} is not JSON ({fault}); {what_to_do}") from None
    if not isinstance(config, dict) or "format" not in config or "recipe" not in config:
        maker = f" of type {config['model_type']}" if isinstance(config, dict) and "model_type" in config else ""
        raise DesignError(f"{folder} holds a model{maker} from elsewhere, not a shopvl design; {what_to_do}")
    if config["format"] > FORMAT:
        raise DesignError(
            f"{folder} is in format {config['format']}, this shopvl reads up to {FORMAT}; upgrade shopvl to use it"
        )
    lacking = [name for name in ("towers", "labels") if name not in config]
    if lacking:
        raise DesignError(f"{path} has no {' and no '.join(lacking)}; copy the folder again or train it anew")
    if isinstance(answering := config["recipe"].get("answering"), dict):
        answering.pop("drop_share", None)  # up to format 5: a rate of training that is now the recipe's `leave_out`
    return config
