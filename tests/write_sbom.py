"""Writes sbom.cdx.json, the list of the packages of constraints.txt in CycloneDX, which travels in the wheel (PEP 770).

python tests/write_sbom.py
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SBOM = ROOT / "sbom.cdx.json"
PINNED = re.compile(r"^([\w.-]+)(?:\[[\w,-]+\])?==([\w.+!-]+)", re.MULTILINE)


def component(name: str, version: str) -> dict[str, str]:
    return {"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name.lower()}@{version}"}


def sbom() -> dict[str, Any]:
    """What is pinned, and the package itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pinned = PINNED.findall((ROOT / "constraints.txt").read_text("utf-8"))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": component(project["name"], project["version"])},
        "components": [component(*one) for one in sorted(pinned)],
    }


if __name__ == "__main__":
    SBOM.write_text(json.dumps(sbom(), indent=1) + "\n", "utf-8")
