"""Tags as JSON lines: a product a line, with what each answer rests on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from shopvl.files import atomic_write
from shopvl.tagging.exporters.base import Answer, Exporter, TaggedProduct

SHOWN = ("property", "value", "best_guess", "probability", "decision", "reason", "evidence", "conflict")


class JsonLines(Exporter):
    """An object per product: `product_id`, and `attributes` as a list."""

    name = "jsonl"
    help = "JSON lines, with probability, reason and evidence"
    suffixes = default_for = (".jsonl",)

    def write(self, products: Iterator[TaggedProduct], properties: Sequence[str], target: Path) -> None:
        """Answers without a value are left out."""
        with atomic_write(target) as draft, draft.open("w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(_object(*product), ensure_ascii=False)}\n" for product in products)


def _object(product_id: str, answers: Sequence[Answer]) -> dict[str, Any]:
    stated = ("low", "high", "unit", "quote")
    attributes = [
        {name: row[name] for name in SHOWN} | {name: row[name] for name in stated if row.get(name) is not None}
        for row in answers
        if row["value"] is not None
    ]
    return {"product_id": product_id, "attributes": attributes}
