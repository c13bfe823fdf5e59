"""Memory and speed of `shopvl tag` over a long catalog: real products repeated under new ids.

    python experiments/bench/tag_scale.py --data $SHOPVL_DATA/fashion-products-small.parquet --rows 200000 \\
        --work runs/tag-scale --out experiments/results/tag_scale.json

Every row is worked on: an id is part of what a result is kept under. Writes the catalog and the tags into `--work`,
and samples the memory of the run and its workers (PSS, so that shared pages count once), rows done, and the CPU seconds
spent. Memory after the first quarter of the rows stands beside that at the end. Speed is given per second and per CPU
second: the latter depends less on what else the machine is doing.
"""

import argparse
import json
import os
import threading
import time
from pathlib import Path

import torch
from cost_by_catalog import write_catalog

from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design
from shopvl.paths import SHIPPED
from shopvl.tagging.run import tag
from shopvl.tracking.provenance import write_result

SAMPLE_SECONDS = 5.0
TICK = os.sysconf("SC_CLK_TCK")


def family() -> list[int]:
    """This process and its children."""
    found = [os.getpid()]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            if parent == os.getpid():
                found.append(int(entry.name))
    return found


def resources() -> tuple[float, float]:
    """Memory in MB (PSS) and CPU seconds of this process and its children."""
    memory = cpu = 0.0
    for pid in family():
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            memory += next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
            user, system = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
            cpu += (int(user) + int(system)) / TICK
        except OSError:
            continue
    return memory, cpu


def main() -> None:
    """Tag the long catalog and write what was sampled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    told = parser.parse_args()
    told.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    path = told.work / f"{told.rows}.parquet"
    if not path.is_file():
        write_catalog(told.data, path, told.rows, ["title", "image"])
    done, samples, over = 0, [], threading.Event()

    def count(rows: int) -> None:
        nonlocal done
        done = rows

    def sample() -> None:
        while not over.wait(SAMPLE_SECONDS):
            memory, cpu = resources()
            samples.append({"seconds": time.monotonic() - started, "rows": done, "mb": memory, "cpu": cpu})
            (told.work / "samples.json").write_text(json.dumps(samples))

    started = time.monotonic()
    watcher = threading.Thread(target=sample)
    watcher.start()
    design = Design.from_pretrained(told.model)
    summary = tag(
        design, open_catalog(path), told.work / "tags", report=count, workers=told.workers, bfloat16=told.bfloat16
    )
    over.set()
    watcher.join()
    quarter = told.rows // 4
    early = [s for s in samples if 0 < s["rows"] <= quarter]
    late = [s for s in samples if told.rows - quarter < s["rows"]]
    working = [s for s in samples if told.rows - quarter < s["rows"] < told.rows - 1024]

    def speed(part: list[dict[str, float]], unit: str) -> float:
        return (part[-1]["rows"] - part[0]["rows"]) / (part[-1][unit] - part[0][unit])

    def median_mb(part: list[dict[str, float]]) -> float:
        return sorted(s["mb"] for s in part)[len(part) // 2]

    at_early, at_end = median_mb(early[-5:]), max(s["mb"] for s in late[-5:])
    figures = {
        "rows": summary.rows,
        "tagged": summary.tagged,
        "rejected": summary.rejected,
        "computed": summary.computed,
        "workers": told.workers,
        "bfloat16": told.bfloat16,
        "seconds": round(summary.seconds, 1),
        "memory_mb_after_a_quarter": round(at_early),
        "memory_mb_at_end": round(at_end),
        "memory_mb_peak": round(max(s["mb"] for s in samples)),
        "memory_ratio": round(at_end / at_early, 3),
        "rows_per_cpu_second_first_quarter": round(speed(early, "cpu"), 1),
        "rows_per_cpu_second_last_quarter": round(speed(working, "cpu"), 1),
        "rows_per_second_first_quarter": round(speed(early, "seconds"), 1),
        "rows_per_second_last_quarter": round(speed(working, "seconds"), 1),
        "stage_seconds": {name: round(spent, 1) for name, spent in summary.stages.items()},
    }
    write_result(told.out, figures, model=design.name, data=[told.data])
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
