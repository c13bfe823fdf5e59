"""Where figures come from: one stamp for every file of results, and the one writer that puts it there."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import shopvl
from shopvl.files import atomic_write
from shopvl.tracking.machine import SOURCE, code_state, machine_name

STAMP = "provenance"
LIBRARIES = ("torch", "numpy", "polars", "faiss-cpu", "onnxruntime", "openvino", "transformers", "timm", "scikit-learn")
MODULES = {"faiss-cpu": "faiss", "scikit-learn": "sklearn"}  # where a library is imported by another name
DATA = "SHOPVL_DATA"


def stamp(model: str | None = None, data: Iterable[Path] | Mapping[str, str] = ()) -> dict[str, Any]:
    """What was run, on which code, when, where, with which model and which data.

    `commit` and `dirty` are of the checkout as it is now, and null outside of one; results do not make it dirty.
    `versions` has the libraries that this process has imported. `data` has a SHA-256 for each file or
    folder; give the digests themselves where they are known.
    """
    state = code_state()
    return {
        "command": command(sys.argv),
        "commit": state.commit if state else None,
        "dirty": state.dirty if state else None,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine_name(),
        "versions": versions(),
        "model": model,
        "data": dict(data) if isinstance(data, Mapping) else {path.name: digest(path) for path in data},
    }


def write_result(
    out: Path,
    figures: Mapping[str, Any],
    *,
    model: str | None = None,
    data: Iterable[Path] | Mapping[str, str] = (),
    table: str | None = None,
) -> None:
    """Write figures as JSON with their stamp, and `table`, which is Markdown, beside it with the same one."""
    made = stamp(model, data)
    with atomic_write(out.with_suffix(".json")) as draft:
        written = json.dumps({STAMP: made, **figures}, indent=1, ensure_ascii=False)
        draft.write_text(written + "\n", "utf-8")
    if table is not None:
        with atomic_write(out.with_suffix(".md")) as draft:
            draft.write_text(f"{table.rstrip()}\n\n{stamp_line(made)}\n", "utf-8")


def stamp_line(made: Mapping[str, Any]) -> str:
    """A stamp in one line of Markdown."""
    where = "unknown commit" if made["commit"] is None else f"commit {made['commit'][:10]}"
    told = [f"`{made['command']}`", where + (", changed" if made["dirty"] else ""), str(made["date"])[:10]]
    told += [str(made[name]) for name in ("machine", "model") if made[name]]
    return f"Made with {'; '.join(told)}."


def command(words: Iterable[str]) -> str:
    """The words of a command line without the places of one machine: the data is `$SHOPVL_DATA`, the rest relative."""
    program, *arguments = words
    name = Path(program)
    if name.name == "shopvl" or name.parts[-2:] in (("cli", "__main__.py"), ("shopvl", "__main__.py")):
        begun = ["shopvl"]
    elif name.name == "__main__.py":
        begun = ["python", "-m", name.parent.name]
    else:
        begun = ["python", _placed(program)]
    return " ".join([*begun, *(_placed(word) for word in arguments)])


def _placed(word: str) -> str:
    if "/" not in word or "://" in word:
        return shlex.quote(word)
    option, _, rest = word.partition("=") if word.startswith("--") else ("", "", word)
    path = Path(rest).resolve()
    data = Path(os.environ[DATA]).resolve() if os.environ.get(DATA) else None
    if data is not None and path.is_relative_to(data):
        placed = "/".join([f"${DATA}", *path.relative_to(data).parts])
    elif path.is_relative_to(SOURCE):
        placed = shlex.quote(path.relative_to(SOURCE).as_posix())
    else:
        placed = shlex.quote(path.name)
    return f"{option}={placed}" if option else placed


def versions() -> dict[str, str]:
    """Of Python, of this package, and of the libraries that were imported and may move figures."""
    found = {"python": platform.python_version(), "shopvl": shopvl.__version__}
    for library in LIBRARIES:
        if MODULES.get(library, library) in sys.modules:
            try:
                found[library] = version(library)
            except PackageNotFoundError:
                continue
    return found


def digest(path: Path) -> str:
    """SHA-256 of a file's content; of a folder, that of its files' names and digests."""
    if path.is_dir():
        inside = sorted(one for one in path.rglob("*") if one.is_file())
        lines = "".join(f"{one.relative_to(path).as_posix()} {digest(one)}\n" for one in inside)
        return hashlib.sha256(lines.encode()).hexdigest()
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
