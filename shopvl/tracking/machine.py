"""What a run ran on: use of the machine while it ran, and the version of the code."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

EVERY_SECONDS = 10.0
SOURCE = Path(__file__).parents[2]


class MachineWatch:
    """Calls `note` with the machine's use, by the names that MLflow's pages know, every few seconds until stopped."""

    def __init__(self, note: Callable[[Mapping[str, float], int], None], every_seconds: float = EVERY_SECONDS) -> None:
        self._note, self._every, self._over = note, every_seconds, threading.Event()
        self._thread = threading.Thread(target=self._watch, name="machine-watch", daemon=True)
        psutil.cpu_percent()  # the first call only begins to count
        self._thread.start()

    def stop(self) -> None:
        """Note once more, then end."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        step, over = 0, False
        while not over:
            over = self._over.wait(self._every)
            self._note(machine_use(), step)
            step += 1


def machine_use() -> dict[str, float]:
    """Processor, memory and disk in use now; the processor's since the last call."""
    memory, disk = psutil.virtual_memory(), psutil.disk_usage("/")
    return {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": memory.used / 1e6,
        "system/system_memory_usage_percentage": memory.percent,
        "system/disk_usage_percentage": disk.percent,
        "system/process_memory_usage_megabytes": psutil.Process().memory_info().rss / 1e6,
    }


def code_version() -> dict[str, str]:
    """The commit that this code is of and whether it was changed since, as tags; nothing outside a checkout."""
    if not (SOURCE / ".git").exists():
        return {}
    commit, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    if commit is None or changes is None:
        return {}
    return {"mlflow.source.git.commit": commit, "shopvl.code.dirty": str(bool(changes)).lower()}


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=SOURCE, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
