"""How a command ends that cannot go on: one sentence for all that a person, a file or the machine can cause."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from shopvl.errors import ShopvlError

MOST_LETTERS, LAST_LETTERS = 1000, 300  # of a sentence; those that say what to do stand at its end
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
# what only a file causes, where no reader has said it better
OF_A_FILE = (UnicodeDecodeError, RecursionError, EOFError)
OF_READERS = {"pyarrow", "polars", "safetensors", "safetensors_rust", "sqlite3", "zipfile", "yaml", "json", "zlib"}
GO_ON = "what was written before is safe, and the same command goes on from there"
STOPPED = f"stopped; {GO_ON}"


def sentence_for(error: BaseException) -> str | None:
    """What is said of an error; None for a fault of ours, which wants its traceback."""
    if isinstance(error, ShopvlError):
        return shortened(str(error))
    chain = [*_causes(error)]
    for cause in chain:
        place = f" at {cause.filename}" if isinstance(cause, OSError) and cause.filename else ""
        number = cause.errno if isinstance(cause, OSError) else None
        text = str(cause)
        if number in FULL or "No space left on device" in text or "os error 28" in text or "File too large" in text:
            return shortened(f"the disk is full{place}; make room: {GO_ON}")
        if number in REFUSED or "Read-only file system" in text or "Permission denied" in text:
            return shortened(f"this may not be read or written{place} ({text}); allow it, or name another folder")
        if isinstance(cause, MemoryError) or "can't allocate memory" in text or "not enough memory" in text:
            return f"there is not enough memory; give it less at a time, or end other programs: {GO_ON}"
    if isinstance(error, OSError):
        return shortened(str(error) or type(error).__name__)
    if isinstance(error, OF_A_FILE) or type(error).__module__.split(".")[0] in OF_READERS:
        told = f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"
        return f"a file is damaged or of another kind than was wanted ({told}); look at those that the command names"
    return None


def shortened(sentence: str) -> str:
    """The sentence on one line, its middle left out where it is very long."""
    line = " ".join(sentence.split("\n"))
    if len(line) <= MOST_LETTERS:
        return line
    return f"{line[: MOST_LETTERS - LAST_LETTERS - 3]} … {line[-LAST_LETTERS:]}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
