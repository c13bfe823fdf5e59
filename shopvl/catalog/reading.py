"""What people say about how a table is to be read: by options, or in a file `mapping.yaml`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self

from shopvl.catalog.schema import ATTRIBUTE_PREFIX
from shopvl.errors import CatalogError
from shopvl.yaml_file import read_yaml

EXAMPLE = "columns: {product_id: SKU, title: [Name, Short name], image: Photo}, attributes: {colour: Farbe}"

_MAPS = ("columns", "attributes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is not said is found by the content."""

    format: str | None = None  # of the columns, by its name; `plain`: as they stand
    sheet: str | None = None  # of a workbook
    encoding: str | None = None  # of a text
    delimiter: str | None = None  # between its cells; for these three `none` says that there is no such sign
    quote: str | None = None  # around cells
    escape: str | None = None  # before a quote or delimiter that is a part of a cell
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # canonical name -> the table's; first filled
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # property -> the table's columns

    @classmethod
    def load(cls, path: str | Path, **said: str | None) -> Self:
        """Of a YAML file with these fields; what is `said` beside it goes before. Raises CatalogError."""
        try:
            stated = read_yaml(Path(path))
        except (OSError, ValueError) as error:
            raise CatalogError(f"the mapping {path} cannot be read: {error}") from error
        known = [own.name for own in fields(cls)]
        if not isinstance(stated, dict) or not set(stated) <= set(known):
            found = ", ".join(map(str, stated)) if isinstance(stated, dict) else type(stated).__name__
            raise CatalogError(f"the mapping {path} holds {found}; wanted: {', '.join(known)}, as in `{EXAMPLE}`")
        chosen = {name: value for name, value in said.items() if value is not None}
        return cls(
            **{name: str(stated[name]) for name in known if name not in _MAPS and stated.get(name)} | chosen,
            columns=_names(path, "columns", stated.get("columns")),
            attributes=_names(path, "attributes", stated.get("attributes")),
        )

    @property
    def maps(self) -> bool:
        """Whether it says what columns are for."""
        return bool(self.columns or self.attributes)

    def sources(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Column of a product -> the table's, as people said. Raises CatalogError for one that the table has not."""
        said = {**self.columns, **{f"{ATTRIBUTE_PREFIX}{name}": own for name, own in self.attributes.items()}}
        for column in (column for own in said.values() for column in own):
            if column not in names:
                near = get_close_matches(column, names, n=1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                raise CatalogError(
                    f"the mapping names a column {column!r}, which the table has not; {hint}it has: {', '.join(names)}"
                )
        return said


def _names(path: str | Path, part: str, stated: Any) -> dict[str, tuple[str, ...]]:
    if stated is None:
        return {}
    if not isinstance(stated, dict):
        raise CatalogError(f"{part} of the mapping {path} is {stated!r}; names were wanted, as in `{EXAMPLE}`")
    return {
        str(name): tuple(map(str, own)) if isinstance(own, list) else (str(own),) for name, own in stated.items() if own
    }
