"""Files as they come: a gzipped one is unpacked while it is read, and one that swells beyond reason is refused."""

from __future__ import annotations

import codecs
import gzip
import io
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, cast

from shopvl.errors import CatalogError
from shopvl.files import atomic_write

GZIP = b"\x1f\x8b"
GZIP_SUFFIX = ".gz"
# Tables shrink to a tenth; a long run of one byte shrinks to a thousandth, which is what bombs are made of.
FREE_BYTES, MAX_SWELLING = 256 << 20, 200


def open_binary(path: Path) -> io.BufferedReader:
    """The file's content, unpacked where it is gzipped (whatever it is called).

    Reading raises CatalogError where the archive is damaged, or holds more than 200 times its size.
    """
    file = path.open("rb")
    packed = file.read(2) == GZIP
    file.seek(0)
    return io.BufferedReader(_Unpacked(path, file), 1 << 18) if packed else file


def is_packed(path: Path) -> bool:
    """Whether the file is gzipped."""
    with path.open("rb") as file:
        return file.read(2) == GZIP


def open_seekable(path: Path) -> IO[bytes]:
    """As `open_binary`, for readers that jump: an archive is unpacked into a temporary file."""
    file = open_binary(path)
    if not isinstance(file.raw, _Unpacked):
        return file
    whole = tempfile.TemporaryFile()  # noqa: SIM115  (the caller closes it)
    with file:
        while data := file.read(1 << 20):
            whole.write(data)
    whole.seek(0)
    return cast(IO[bytes], whole)


@contextmanager
def written_text(target: Path, encoding: str = "utf-8", like: Path | None = None) -> Iterator[IO[str]]:
    """A text file that appears when it is complete, gzipped where its name ends so.

    It has a byte order mark only where the file that it is `like` has one. What the encoding cannot write becomes a
    character reference (`&#9733;`).
    """
    if like is not None and codecs.lookup(encoding).name == "utf-8-sig":
        with open_binary(like) as file:
            encoding = encoding if file.peek(3)[:3] == codecs.BOM_UTF8 else "utf-8"
    with atomic_write(target) as draft, draft.open("wb") as file, ExitStack() as stack:
        packed = target.suffix.lower() == GZIP_SUFFIX
        binary = stack.enter_context(gzip.GzipFile(filename="", fileobj=file, mode="wb")) if packed else file
        text = io.TextIOWrapper(cast(IO[bytes], binary), encoding, errors="xmlcharrefreplace", newline="")
        yield text
        text.flush()
        text.detach()


def bare_suffix(path: Path) -> str:
    """The end of the file's name in small letters, `.gz` left aside: `.csv` of `shop.csv.gz`."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix == GZIP_SUFFIX else suffix


def most_unpacked(path: Path) -> int:
    """Bytes that the file may hold when it is unpacked."""
    return max(FREE_BYTES, MAX_SWELLING * path.stat().st_size)


def swollen(path: Path) -> CatalogError:
    """What is said of one that holds more."""
    return CatalogError(
        f"{path} holds more than {MAX_SWELLING} times its size, as no table does; if it is one, unpack it and open that"
    )


class _Unpacked(io.RawIOBase):
    """A gzipped file, unpacked; knows how much it has swollen."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path, self.file = path, file
        self.unpacked = gzip.GzipFile(fileobj=file)
        self.most = most_unpacked(path)
        self.done = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """The next bytes."""
        try:
            count = self.unpacked.readinto(buffer)
        except (OSError, EOFError, zlib.error) as error:
            raise CatalogError(
                f"{self.path} is a gzip archive that is damaged after {self.done} bytes: {error}"
            ) from error
        self.done += count
        if self.done > self.most:
            raise swollen(self.path)
        return count

    def close(self) -> None:
        """The file too."""
        if not self.closed:
            self.unpacked.close()
            self.file.close()
        super().close()
