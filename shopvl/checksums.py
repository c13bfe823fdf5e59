"""Checksums of shopvl's own files: written with a file, verified when a later run reads it.

They find damage (flipped bits, files that were cut, emptied or exchanged) at the speed of memory, by XXH3 in 128 bits
(xxhash.com). They are no signatures: whoever changes a file on purpose can change its checksum.

Where a checksum is kept depends on the file: inside JSON and Parquet files, in the name of a cache's part, in a JSON
file of the same folder for others, and by blocks, beside the file, for what is mapped into memory and read in part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from xxhash import xxh3_64_intdigest, xxh3_128

from shopvl.errors import DamagedError, ShopvlError

READ_BYTES = 1 << 20
BLOCK_BITS = 16  # a block of a mapped file has 64 KiB
BLOCKS = ".sums"  # after a mapped file's name: the file of its blocks' checksums
OF_ITSELF = "checksum"  # the key of a JSON object's own checksum
SEAL, SEAL_BEGINS, SEAL_ENDS = b"shopvl.checksum", b"xxh3-128:", b":shopvl"
BLANK = b"0" * 32
_SEALED = re.compile(re.escape(SEAL) + rb".{1,4}" + SEAL_BEGINS + rb"([0-9a-f]{32})" + SEAL_ENDS, re.DOTALL)
_ENDING = re.compile(b"|".join((re.escape(SEAL), SEAL_BEGINS, SEAL_ENDS)))
FOOTER_BYTES = 8  # of a Parquet file: the length of its metadata, and PAR1
METADATA_BYTES = (1 << 16, 1 << 26)  # at its end that are searched for the checksum, whatever that length says


@dataclass(frozen=True)
class Remedy:
    """What is said, and raised, where a file is damaged."""

    what_to_do: str
    error: type[ShopvlError] = DamagedError

    def damaged(self, path: Path, what: str = "it is not as it was written") -> ShopvlError:
        """The error, one sentence."""
        return self.error(f"{path} is damaged: {what}; {self.what_to_do}")


def digest_of(data: bytes | memoryview) -> str:
    """32 hex digits."""
    return xxh3_128(data).hexdigest()


def file_digest(path: Path, blank: int | None = None) -> str:
    """32 hex digits; with BLANK in the place of as many bytes from `blank` on."""
    hasher, left = xxh3_128(), blank
    with path.open("rb") as file:
        while data := file.read(READ_BYTES if left is None else min(READ_BYTES, left)):
            hasher.update(data)
            left = None if left is None else left - len(data)
            if left == 0:
                hasher.update(BLANK)
                file.seek(len(BLANK), 1)
                left = None
    return hasher.hexdigest()


def file_digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """The checksums of files below a folder, by their names."""
    return {name: file_digest(folder / name) for name in sorted(names)}


def verify(path: Path, expected: str, remedy: Remedy) -> None:
    """Raises the remedy's error for a file that has another checksum or cannot be read; FileNotFoundError for none."""
    try:
        same = file_digest(path) == expected
    except FileNotFoundError:
        raise
    except OSError as fault:
        raise remedy.damaged(path, f"it cannot be read ({fault.strerror or fault})") from fault
    if not same:
        raise remedy.damaged(path)


def verify_all(folder: Path, expected: Mapping[str, str], remedy: Remedy) -> None:
    """The same for files below a folder."""
    for name, checksum in expected.items():
        verify(folder / name, checksum, remedy)


# --- JSON


def stamped(values: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object with the checksum of what it says."""
    return {**values, OF_ITSELF: _meaning(values)}


def unstamped(values: dict[str, Any]) -> bool:
    """Take the checksum out of a JSON object; whether it is as it was written. One that has none is."""
    return OF_ITSELF not in values or values.pop(OF_ITSELF) == _meaning(values)


def _meaning(values: Mapping[str, Any]) -> str:
    plain = json.loads(json.dumps(values))  # as it is read again: with texts as keys
    return digest_of(json.dumps(plain, sort_keys=True).encode())


def read_object(path: Path, remedy: Remedy, most_bytes: int = 1 << 28) -> dict[str, Any]:
    """The JSON object in a file, without its checksum. One that has none is taken as it is.

    Raises the remedy's error for what is no JSON object, larger than `most_bytes`, or not as it was written.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most_bytes + 1)
        if len(data) > most_bytes:
            raise remedy.damaged(path, f"it is larger than {most_bytes >> 20} MB")
        text = data.decode("utf-8")
        values = json.loads(text)
        if "\\ud" in text.lower():  # half of a character, which no text can hold
            json.dumps(values, ensure_ascii=False).encode()
    except FileNotFoundError:
        raise remedy.damaged(path, "it is missing") from None
    except OSError as fault:
        raise remedy.damaged(path, f"it cannot be read ({fault.strerror or fault})") from fault
    except (ValueError, RecursionError) as fault:
        raise remedy.damaged(path, f"it is not JSON ({str(fault)[:200]})") from fault
    if not isinstance(values, dict):
        raise remedy.damaged(path, "it is not a JSON object")
    if not unstamped(values):
        raise remedy.damaged(path)
    return values


# --- Parquet


def seal_entry() -> dict[bytes, bytes]:
    """Key and value that a Parquet file's metadata need before it can be sealed."""
    return {SEAL: SEAL_BEGINS + BLANK + SEAL_ENDS}


def seal(path: Path) -> None:
    """Write the checksum of a Parquet file that has `seal_entry` into it."""
    start, metadata = _metadata(path)
    match = _last_seal(metadata)
    if match is None:
        raise ValueError(f"{path} has no place for its checksum")
    blank = start + match.start(1)
    checksum = file_digest(path, blank).encode()
    with path.open("r+b") as file:
        file.seek(blank)
        file.write(checksum)


def verify_sealed(path: Path, remedy: Remedy) -> None:
    """Raises the remedy's error for a Parquet file that is not as it was sealed; one that never was is let through.

    What is missing or no file at all is left to the reader to say.
    """
    if not path.is_file():
        return
    try:
        start, metadata = _metadata(path)
        match = _last_seal(metadata)
        if match is None:
            if _ENDING.search(metadata):
                raise remedy.damaged(path)
            return
        same = file_digest(path, start + match.start(1)).encode() == match.group(1)
    except OSError as fault:
        raise remedy.damaged(path, f"it cannot be read ({fault.strerror or fault})") from fault
    if not same:
        raise remedy.damaged(path)


def _metadata(path: Path) -> tuple[int, bytes]:
    """Where the last bytes of a Parquet file begin that hold its metadata, and these bytes."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - FOOTER_BYTES))
        length = int.from_bytes(file.read(4), "little")
        least, most = METADATA_BYTES
        start = max(0, size - FOOTER_BYTES - min(max(length, least), most))
        file.seek(start)
        return start, file.read()


def _last_seal(metadata: bytes) -> re.Match[bytes] | None:
    return next(reversed([*_SEALED.finditer(metadata)]), None)


# --- mapped files, by block


def write_blocks(path: Path) -> Path:
    """Write the checksums of a file's blocks beside it; returns their file."""
    with path.open("rb") as file:
        sums = [xxh3_64_intdigest(block) for block in iter(lambda: file.read(1 << BLOCK_BITS), b"")]
    beside = path.with_name(path.name + BLOCKS)
    beside.write_bytes(np.array(sums, dtype="<u8").tobytes())
    return beside


@dataclass
class MappedBlocks:
    """A mapped file whose blocks are verified when they are first read."""

    path: Path
    data: memoryview
    sums: np.ndarray
    remedy: Remedy
    _seen: bytearray = field(init=False, repr=False)

    @classmethod
    def of(cls, path: Path, data: Any, remedy: Remedy) -> MappedBlocks | None:
        """For what is mapped of that file; None where it was written without checksums."""
        beside = path.with_name(path.name + BLOCKS)
        if not beside.is_file():
            return None
        return cls(path, memoryview(data).cast("B"), np.fromfile(beside, dtype="<u8"), remedy)

    def __post_init__(self) -> None:
        if len(self.sums) != (len(self.data) + (1 << BLOCK_BITS) - 1) >> BLOCK_BITS:
            raise self.remedy.damaged(self.path, "it has another length than it was written with")
        self._seen = bytearray(len(self.sums))

    def check(self, start: int, end: int) -> None:
        """Verify the blocks that hold these bytes; raises the remedy's error."""
        first, last = start >> BLOCK_BITS, max(start, end - 1) >> BLOCK_BITS
        if self._seen.find(0, first, last + 1) >= 0:
            self._verify(range(first, min(last + 1, len(self.sums))))

    def check_rows(self, rows_M: np.ndarray, row_bytes: int) -> None:
        """Verify what holds these rows, of so many bytes each."""
        ends = (rows_M * row_bytes >> BLOCK_BITS, ((rows_M + 1) * row_bytes - 1) >> BLOCK_BITS)
        seen = np.frombuffer(self._seen, dtype=np.uint8)
        if not all(seen[blocks].all() for blocks in ends):
            for block in np.unique(np.concatenate(ends)).tolist():
                self.check(block << BLOCK_BITS, (block + 1) << BLOCK_BITS)

    def check_all(self) -> None:
        """Verify every block."""
        if self._seen.find(0) >= 0:
            self._verify(range(len(self.sums)))

    def _verify(self, blocks: range) -> None:
        for block in blocks:
            if not self._seen[block]:
                start = block << BLOCK_BITS
                if xxh3_64_intdigest(self.data[start : start + (1 << BLOCK_BITS)]) != self.sums[block]:
                    raise self.remedy.damaged(self.path)
                self._seen[block] = 1
