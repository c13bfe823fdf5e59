"""A folder that only one process at a time may write."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from shopvl.errors import ShopvlError

LOCK = ".lock"


@contextmanager
def sole_writer(folder: Path, what: str) -> Iterator[None]:
    """Hold the folder's lock; it ends with the process. Raises ShopvlError that says `what` another one is doing."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(folder / LOCK).acquire(blocking=False)
    except Timeout:
        raise ShopvlError(f"another process is {what}; try again when it is done") from None
    with held:
        yield
