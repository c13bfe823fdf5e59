"""What happened in a run: written to disk first, then sent to MLflow, so that no server can stop or slow training."""

from shopvl.tracking.run import Tracker, continued, runs_below, tracked

__all__ = ["Tracker", "continued", "runs_below", "tracked"]
