"""The files of a design folder: where each is, how they are replaced in one step, what is refused.

A folder may come from a stranger: whatever is read here is checked, and nothing is allocated for what it only claims.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from safetensors.torch import load_file
from torch import Tensor

from shopvl.catalog.ontology import Ontology
from shopvl.checksums import Remedy, file_digests, read_object, verify
from shopvl.design.quantization import restored
from shopvl.errors import DesignError, ShopvlError
from shopvl.files import write_object
from shopvl.models import familiarity
from shopvl.models.familiarity import Familiarity
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import FILE_NAME as TOKENIZER
from shopvl.text.tokenizer import Tokenizer

# 1: no int8 weights; up to 2: other grams of titles; up to 3 and 5: other names of weights; up to 4: no familiarity; up
# to 6: no checksums
FORMAT, CHECKED_FROM = 7, 7
FIRST_LOOK, STATED = "first look", "stated"  # what CALIBRATION says beside its figures by inputs
CONFIG, WEIGHTS, ONTOLOGY, CALIBRATION, FAMILIARITY, CARD = (
    "config.json",
    "model.safetensors",
    "ontology.json",
    "calibration.json",
    "familiarity.safetensors",
    "README.md",
)
CHECKED = (WEIGHTS, TOKENIZER, ONTOLOGY, CALIBRATION, FAMILIARITY)  # `config.json` has their checksums
MOST_BYTES = 1 << 28  # of a JSON file
READY = ".ready"  # a folder in a design's: all files of a save, not yet in their places
ANEW = Remedy("copy the folder again or train it anew", DesignError)


class _Config(BaseModel):
    """`config.json`."""

    model_config = ConfigDict(strict=True)
    format: Annotated[int, Field(ge=1)]
    recipe: dict[str, Any]
    towers: dict[Literal["image", "text"], dict[str, Any]]
    labels: dict[str, list[str]]
    checksums: dict[str, str] = {}


Points = list[Annotated[list[float], Field(min_length=2, max_length=2)]]


class _Figures(BaseModel):
    """What `calibration.json` says of one property from some inputs; `inference/calibrate.py` says what it means."""

    model_config = ConfigDict(strict=True, extra="forbid")
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    shape: Annotated[list[float], Field(min_length=3, max_length=3)]
    rows: int = 0
    accuracy: float = float("nan")
    ece: float = float("nan")
    curve: Points
    groups: dict[str, Points] = {}
    confidences: Points = []
    conflict_from: float | None
    title_share: float = 0.0


class _Shown(BaseModel):
    """A curve from score to probability, and the probabilities from which on precisions were shown to hold."""

    model_config = ConfigDict(strict=True, extra="forbid")
    weights: dict[str, float] = {}
    shape: Annotated[list[float], Field(min_length=3, max_length=3)] = [1.0, 0.0, 0.0]
    curve: Points = []
    rows: int = 0
    accuracy: float = float("nan")
    ece: float = float("nan")


class _Stated(_Shown):
    """What `calibration.json` says of a property that texts state (`inference/stated.py`)."""

    words: dict[str, float] = {}
    inside: dict[str, float] = {}
    ordinary: dict[str, int] = {}
    whole: _Shown = _Shown()
    inputs: str = ""  # of the products that it was learned from, where heads speak as well


_CONFIG, _CALIBRATION = TypeAdapter(_Config), TypeAdapter(dict[str, dict[str, _Figures]])
_FIRST_LOOK, _STATED = TypeAdapter(dict[str, dict[str, float]]), TypeAdapter(dict[str, _Stated])


@dataclass(frozen=True)
class Saved:
    """What a design folder holds; its weights under the names that they have in the file."""

    folder: Path
    format: int
    recipe: Recipe
    towers: dict[str, dict[str, Any]]
    labels: dict[str, list[str]]
    tokenizer: Tokenizer
    ontology: Ontology
    calibration: dict[str, Any]
    first_look: dict[str, dict[str, float]]
    stated: dict[str, dict[str, Any]]
    familiarity: dict[str, Familiarity]
    tensors: dict[str, Tensor]


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


def write_config(folder: Path, values: dict[str, Any]) -> None:
    """`config.json`, with the checksums of the other files, which are written before it."""
    write_object(folder / CONFIG, {"format": FORMAT, **values, "checksums": file_digests(folder, CHECKED)})


def read_folder(folder: Path) -> Saved:
    """All of a design folder. Raises DesignError for one that is none, damaged, incomplete, or of a newer format."""
    config = read_config(folder)
    names = CHECKED if config["format"] >= CHECKED_FROM else config["checksums"]
    try:
        for name in names:
            verify(file_in(folder, name), config["checksums"].get(name, "none in config.json"), ANEW)
        tokenizer = read_tokenizer(folder)
        calibration = read_object(file_in(folder, CALIBRATION), ANEW, MOST_BYTES)
        first_look, stated = calibration.pop(FIRST_LOOK, {}), calibration.pop(STATED, {})
        _validated(_CALIBRATION, calibration, folder / CALIBRATION)
        _validated(_FIRST_LOOK, first_look, folder / CALIBRATION)
        _validated(_STATED, stated, folder / CALIBRATION)
        familiar = load_file(file_in(folder, FAMILIARITY)) if config["format"] > 4 else {}
        return Saved(
            folder,
            config["format"],
            Recipe.from_dict(config["recipe"]),
            config["towers"],
            config["labels"],
            tokenizer,
            Ontology.load(file_in(folder, ONTOLOGY)),
            calibration,
            first_look,
            stated,
            familiarity.from_tensors(familiar),
            restored(load_file(file_in(folder, WEIGHTS))),
        )
    except DesignError:
        raise
    except Exception as fault:  # whatever a file from elsewhere can cause
        raise not_whole(folder, fault) from fault


def not_whole(folder: Path, fault: BaseException) -> DesignError:
    """The sentence for a folder that something goes wrong with."""
    reason = " ".join(str(fault).split())[:300] or type(fault).__name__
    return DesignError(f"{folder} is not a whole shopvl model ({reason}); {ANEW.what_to_do}")


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a design folder; raises DesignError for a file that is none."""
    path = file_in(folder, TOKENIZER)
    try:
        return Tokenizer.load(path.parent)
    except ShopvlError:
        raise
    except Exception as fault:  # the library knows no other kind
        raise DesignError(f"{path} is no tokenizer ({str(fault)[:300]}); {ANEW.what_to_do}") from fault


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json`, checked; raises DesignError for a folder that is not a design, or in a newer format."""
    path = file_in(folder, CONFIG)
    what_to_do = "name a folder written by `shopvl pretrain` or `shopvl tune`"
    if not path.is_file():
        found = "is a file" if folder.is_file() else "has no config.json" if folder.is_dir() else "does not exist"
        raise DesignError(f"{folder} {found}, a shopvl model folder was wanted; {what_to_do}")
    config = read_object(path, Remedy(what_to_do, DesignError), MOST_BYTES)
    if "format" not in config or "recipe" not in config:
        maker = f" of type {str(config['model_type'])[:60]}" if "model_type" in config else ""
        raise DesignError(f"{folder} holds a model{maker} from elsewhere, not a shopvl design; {what_to_do}")
    if isinstance(config["format"], int) and config["format"] > FORMAT:
        raise DesignError(
            f"{folder} is in format {config['format']}, this shopvl reads up to {FORMAT}; upgrade shopvl to use it"
        )
    lacking = [name for name in ("towers", "labels") if name not in config]
    if lacking:
        raise DesignError(f"{path} has no {' and no '.join(lacking)}; {ANEW.what_to_do}")
    config = _validated(_CONFIG, config, path).model_dump()
    if isinstance(answering := config["recipe"].get("answering"), dict):
        answering.pop("drop_share", None)  # up to format 5: a rate of training that is now the recipe's `leave_out`
    return config


def _validated(kind: TypeAdapter[Any], values: Any, path: Path) -> Any:
    """`values` as that type; raises DesignError that names the first fault."""
    try:
        return kind.validate_python(values)
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        where = _place(first["loc"])
        given = repr(first["input"])[:60]
        told = f"{where} is {given}: {first['msg'][0].lower()}{first['msg'][1:]}"
        raise DesignError(f"{path} cannot be used: {told[:400]}; {ANEW.what_to_do}") from None


def _place(steps: Iterable[int | str]) -> str:
    return ".".join(str(step)[:60] for step in steps) or "the whole"
