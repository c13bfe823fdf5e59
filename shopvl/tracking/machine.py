"""What a run ran on: the machine, its use while the run ran, and the version of the code."""

from __future__ import annotations

import platform
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from shopvl.runtime.cores import usable_cores

EVERY_SECONDS = 10.0
SOURCE = Path(__file__).parents[2]
RESULTS = "experiments/results"


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
            with suppress(OSError):  # a full disk, which the run itself will speak of
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


def memory_mb() -> int:
    """Of the machine."""
    return int(psutil.virtual_memory().total) // 1_000_000


def machine_name() -> str:
    """Processor, how many of its cores this process may use, how many threads torch takes of them, and memory."""
    torch = sys.modules.get("torch")
    threads = f", {torch.get_num_threads()} torch threads" if torch is not None else ""
    memory_gb = psutil.virtual_memory().total / 1e9
    return f"{_processor()}, {usable_cores()} cores{threads}, {memory_gb:.0f} GB, {platform.system()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@dataclass(frozen=True)
class CodeState:
    """The commit of a checkout, and whether anything but results was changed since."""

    commit: str
    dirty: bool


def code_state(checkout: Path | None = None) -> CodeState | None:
    """Of a checkout, that which this code is in if left out; None outside of one."""
    checkout = checkout or SOURCE
    if not (checkout / ".git").exists():
        return None
    commit = _git(checkout, "rev-parse", "HEAD")
    changes = _git(checkout, "status", "--porcelain", "--", ".", f":!{RESULTS}")
    return None if commit is None or changes is None else CodeState(commit, bool(changes))


def code_version() -> dict[str, str]:
    """The same as tags of a run; nothing outside a checkout."""
    state = code_state()
    if state is None:
        return {}
    return {"mlflow.source.git.commit": state.commit, "shopvl.code.dirty": str(state.dirty).lower()}


def _git(checkout: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=checkout, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
