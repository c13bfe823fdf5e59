"""A model becomes champion through the gate, and the one before it can come back."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from shopvl.catalog.readers import Catalog
from shopvl.design.design import Design
from shopvl.errors import TrackingError
from shopvl.files import exclusive_lock
from shopvl.runs.gate import Verdicts, gate
from shopvl.runs.serving import save_served
from shopvl.tracking.registry import CHAMPION, Registry, design_folder, is_reference


def promote(
    new: str,
    registry: Registry,
    catalog: Catalog,
    out: Path,
    *,
    protected: Sequence[str] = (),
    report: Callable[[int], None] = lambda rows: None,
) -> tuple[str | None, Verdicts | None]:
    """Make `new` champion if the gate lets it pass: (its version, or None where refused; what the gate found).

    `new`: a model folder, `runs:/RUN_ID/model`, or `models:/NAME/VERSION` of the same name. A first champion has nobody
    to be compared with.
    """
    folder = design_folder(new, registry.uri) if is_reference(new) else Path(new)
    design, verdicts = Design.from_pretrained(folder), None
    if registry.champion() is not None:
        champion = Design.from_pretrained(design_folder(f"models:/{registry.name}@{CHAMPION}", registry.uri))
        with exclusive_lock(out, f"writing into {out}"):
            verdicts = gate(design, champion, catalog, out, protected=protected, report=report)
        if not verdicts.passed:
            return None, verdicts
    version = _version(new, folder, design.name, registry)
    registry.promote(version)
    return version, verdicts


def _version(new: str, folder: Path, design_name: str, registry: Registry) -> str:
    """The registered version of that model, made where there is none."""
    tags = {"shopvl.design": design_name}
    if new.startswith("models:/"):
        name, _, version = new.removeprefix("models:/").partition("/")
        if name != registry.name or not version:
            raise TrackingError(
                f"{new} is no version of {registry.name}; name models:/{registry.name}/VERSION, or a run"
            )
        return version
    if new.startswith("runs:/"):
        return registry.register_run(new.removeprefix("runs:/").split("/")[0], tags)
    with tempfile.TemporaryDirectory() as folder_name:
        return registry.register_saved(save_served(folder, Path(folder_name) / "model"), tags)
