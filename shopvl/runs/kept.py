"""Runs as a file of results keeps them: what tables show of each, so that its rows outlive a store that is gone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shopvl.errors import TrackingError
from shopvl.runs.running import CELL_TAG, SEED_TAG
from shopvl.tracking.store import Run

KEPT = "runs"  # of a file of results
COMMIT, DIRTY = "mlflow.source.git.commit", "shopvl.code.dirty"
PARAMS, TAGS = ("experiment", "data_digest"), (CELL_TAG, SEED_TAG, COMMIT, DIRTY)
EXPERIMENT = ("recipe", "evaluate_on", "shuffle_pairs", "epochs")  # what tables read of it
DIGITS = 6  # of a metric
# `answers/` without its levels; `retrieval/` by rank
SHOWN = re.compile(
    r"score|parameters|core_seconds|products_per_second|\w+/answers/\w+/[^/]+/accuracy|\w+/retrieval/.+/R_at_1?0?|\w+/language/\w+"
)


def kept_runs(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """What tables show of runs, as JSON has it."""
    return [
        {
            "id": run.run_id,
            "name": run.name,
            "started": run.started,
            "params": {**{name: run.params[name] for name in PARAMS}, "experiment": _experiment(run)},
            "tags": {name: run.tags[name] for name in TAGS if name in run.tags},
            "metrics": {m: round(value, DIGITS) for m, value in sorted(run.metrics.items()) if SHOWN.fullmatch(m)},
        }
        for run in runs
    ]


def _experiment(run: Run) -> str:
    """What tables read of a run's experiment, and the name of its catalog without the place where that lay."""
    fields = json.loads(run.params["experiment"])
    catalog = fields.get("catalog")
    return json.dumps({name: fields.get(name) for name in EXPERIMENT} | {"catalog": catalog and Path(catalog).name})


def read_kept(path: Path, experiment: str) -> list[Run]:
    """The finished runs of an experiment that a file of results keeps; none where there is no file, or it keeps none.

    Raises TrackingError for a file that keeps something else.
    """
    if not path.exists():
        return []
    try:
        kept = json.loads(path.read_text("utf-8")).get(KEPT, [])
        return [
            Run(
                one["id"],
                one["name"],
                experiment,
                "FINISHED",
                one["params"],
                one["metrics"],
                one["tags"],
                one["started"],
            )
            for one in kept
        ]
    except (ValueError, AttributeError, KeyError, TypeError) as e:
        raise TrackingError(f"{path} is no file that `experiments compare --result` wrote ({e!r}); name another") from e
