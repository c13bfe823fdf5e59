"""How many processor cores there are for this process."""

import os


def usable_cores() -> int:
    """Those that the process may run on, where the system says (Linux); else all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
