"""Ways to damage a file, for tests of what becomes of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

BITS = 64


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    rng = random.Random(len(data))
    for _ in range(BITS):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def removed(path: Path) -> None:
    path.unlink()


DAMAGES = (flipped, halved, emptied, removed)
Damage = Callable[[Path], None]


def damages(folder: Path, whole: bool, unread: Iterable[str] = ()) -> Iterator[tuple[Path, Damage]]:
    """Each file below the folder, by its name there, in each way that it is damaged."""
    paths = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
    names = [path for path in paths if not path.name.endswith(".lock") and path.name not in unread]
    assert names
    for number, name in enumerate(names):
        for damage in DAMAGES if whole else (DAMAGES[number % len(DAMAGES)],):
            yield name, damage
