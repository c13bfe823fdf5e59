"""The character encoding of a text table: UTF-8, or what spreadsheets save by default."""

import re
from collections import Counter
from itertools import islice
from pathlib import Path

from shopvl.catalog.packed import open_binary
from shopvl.errors import CatalogError

UTF_8, UTF_16, CHINESE, WESTERN = "utf-8-sig", "utf-16", "gb18030", "cp1252"
LINES_PASSED, LINES_ASKED = 1_000_000, 300  # lines that are looked through, and those beyond ASCII that decide

_HANZI = "[\u3400-\u9fff]"
# An accented letter and its neighbour can be one Chinese character: read as Chinese, "Größe" is "Gr鲞e".
_HANZI_AMID_LATIN = re.compile(f"(?<=[A-Za-z]){_HANZI}(?!{_HANZI})|(?<!{_HANZI}){_HANZI}(?=[A-Za-z])")
_LEVEL_1 = (b"\xb0\xa1", b"\xd7\xf9")  # where GB 2312 has its 3,755 common characters
# No word has three such letters in a row. ð, þ and ý are left out: in a shop's table they are Turkish ğ, ş and ı.
_WESTERN_LETTERS = re.compile(r"(?<![À-ÿ])[À-ÏÑ-ÖØ-ÜßŠšŽžŒœŸà-ïñ-öø-üÿ]{1,2}(?![À-ÿ])")
_SIGNS = "‘’“”„–—…•·€£¥§©®™°²½¼¾×\u00a0"


def charset(path: Path) -> str:
    """The encoding that lines with more than ASCII are in; a line has whole characters in every one but UTF-16.

    Some bytes that do not fit make no other table of one in UTF-8. Raises CatalogError where no encoding is likely.
    """
    with open_binary(path) as file:
        if file.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return UTF_16
        lines = list(islice((line for line in islice(file, LINES_PASSED) if not line.isascii()), LINES_ASKED))
    if 2 * sum(_decoded(line, UTF_8) is not None for line in lines) >= len(lines):
        return UTF_8
    chinese, western = (_decoded(b"".join(lines), encoding) for encoding in (CHINESE, WESTERN))
    if chinese is not None and _is_chinese(chinese):
        return CHINESE
    if western is not None and _is_western(western):
        return WESTERN
    raise CatalogError(
        f"{path} holds bytes that are not UTF-8, and neither surely Chinese ({CHINESE}) nor Western ({WESTERN}); "
        "save the table as UTF-8"
    )


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _is_chinese(text: str) -> bool:
    """Whether at least half of it, ASCII left aside, are common characters that do not stand singly amid Latin letters.

    Cyrillic letters, Japanese and Big5 can be decoded as GB 18030 too, but make rare characters.
    """
    counts = Counter(_HANZI_AMID_LATIN.sub("?", text))
    return 2 * sum(count for letter, count in counts.items() if _is_common(letter)) >= _beyond_ascii(text)


def _is_common(letter: str) -> bool:
    return _LEVEL_1[0] <= letter.encode("gb2312", "replace") <= _LEVEL_1[1]


def _is_western(text: str) -> bool:
    """Whether at least nine tenths of it, ASCII left aside, are signs, or letters as Western words have them."""
    letters = sum(map(len, _WESTERN_LETTERS.findall(text)))
    return 10 * (letters + sum(map(text.count, _SIGNS))) >= 9 * _beyond_ascii(text)


def _beyond_ascii(text: str) -> int:
    return sum(not letter.isascii() for letter in text)
