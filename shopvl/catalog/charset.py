"""The character encoding of a text table: UTF-8, or the one in which its words are likeliest to be words.

A table that is not UTF-8 is read in every encoding that shops use. A reading in one of the large East Asian sets must
consist of common characters; one in an alphabet is judged by how often a language has these letters. Where two
readings are about as likely, nothing is guessed: the user names the encoding.
"""

from __future__ import annotations

import codecs
import io
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import IO

from shopvl.catalog.vocabulary import ENCODING
from shopvl.errors import CatalogError

UTF_8, UTF_16, CHINESE, WESTERN = "utf-8-sig", "utf-16", "gb18030", "cp1252"
LINES_ASKED, BYTES_PASSED = 300, 1 << 28  # lines beyond ASCII that decide, and bytes that are looked through for them
_BLOCK = 1 << 18
_LONGEST_LINE = 1 << 16
_EXCERPT = 2000  # bytes of a line that are judged

# Letters by falling frequency; what a language has in loan words alone comes last.
_LANGUAGES = {
    "English": "etaoinshrdlcumwfgypbvkjxqzéèïöñç",
    "French": "esaitnrulodcpmévqfbghjàxèêyzçôùâîûkœwïëüæÿñ",
    "German": "enisratdhulcgmobwfkzüvpäßjöyxqéàèê",
    "Spanish": "eaosrnidlctumpbgyívqóhfzjéáñxúüwk",
    "Portuguese": "aeosrdnitmulcvpgqbfhãçéáíjzxêóâõôúàüwyk",
    "Italian": "eaionlrtscdupmvghfbqzòàùèìékyjwxî",
    "Dutch": "enatirodslghvkmubpwjczfxyëéïöqèêü",
    "Swedish": "eantrslidomgkvähfupåöbcjyxzwéqàü",
    "Danish": "ertnsidalogmkfvubhpåyæøcjwzéxqöäòüèó",
    "Finnish": "aintesloukämvrjhypdögbfcåwšžzqxé",
    "Icelandic": "arnieutslgðmkfhvoáþídjóbyæúöpéýxcz",
    "Catalan": "easirltnoducmpvàbqgfhèóíéxçòjzyúïükw",
    "Polish": "aioezrnwsctykdpmjulłgbhżąęóśćfńźvxqé",
    "Czech": "eoantisvrlkdupmízháyjběéčžřšýůcgúfťxňóďwqö",
    "Slovak": "aoeinrvtsklmdpuchjbzáyýíčéžšťúľôňďóäfgŕĺxwq",
    "Hungarian": "eatlnskriozáégmbyvdhupjöófcőíüúűwxq",
    "Romanian": "eiarntulocsdpmăfvîgbșțzhâjxkywşţ",
    "Croatian": "aioenrjstuklvdmpgzbcčhšžćfđxwyq",
    "Slovene": "eaionrsltjvkdpmuzbghčcšžfxwyq",
    "Turkish": "aeinrlıkdtsmyuobüşvgzhcpçğöfjâîûéwxq",
    "Lithuanian": "iasoretnukmlpvdjgėbyųšžcąįūęčzfhxwq",
    "Latvian": "aisteurnokldmpvāīējzgēbcšķņļžūfģčhxwyq",
    "Estonian": "aiestulnokrdmvgpjhäbõüföšžcyzxwq",
    "Russian": "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё",
    "Ukrainian": "оаніирвтеслкудмпзяьбгйчхцїжєшюґщфё",
    "Bulgarian": "аиоетнрсвлкдпмзгяъубчцйжщхшюфь",
    "Serbian": "аиоенрсуткјвдмплгзбчцшжћхђњљфџ",
    "Greek": "ατοιενρσκηπςυμλίόάγέδήωχθύβφώξζψϊϋΐ",
    "Hebrew": "יוהלרבתמאשנעםדקחפסכגטצןזךףץ",
    "Arabic": "اليمونرتبةعدسفهكقأحجشطصىخإضذزغثءظئؤآ",
    "Thai": "านรอกเงมยลวดทสตะปบคหแจพชขใโไธศซผณถภฟฉษญึิีืุู่้็์ัำๆฐฮฆฌฎฏฑฒฤๅฯ",
}
_WESTERN_SPOKEN = (
    *("English", "French", "German", "Spanish", "Portuguese", "Italian", "Dutch", "Swedish", "Danish"),
    *("Finnish", "Icelandic", "Catalan"),
)
_CENTRAL = ("Polish", "Czech", "Slovak", "Hungarian", "Romanian", "Croatian", "Slovene", "German")
_CYRILLIC = ("Russian", "Ukrainian", "Bulgarian", "Serbian")
# encoding -> languages that are written in it, and how much rarer it is than the commonest one, in nats
_ALPHABETS: dict[str, tuple[tuple[str, ...], float]] = {
    "cp1252": (_WESTERN_SPOKEN, 0.0),
    "cp1250": (_CENTRAL, 3.0),
    "cp1251": (_CYRILLIC, 2.0),
    "cp1253": (("Greek",), 2.0),
    "cp1254": (("Turkish",), 2.0),
    "cp1255": (("Hebrew",), 2.0),
    "cp1256": (("Arabic",), 2.0),
    "cp1257": (("Lithuanian", "Latvian", "Estonian"), 3.0),
    "cp874": (("Thai",), 2.0),
    "cp850": (_WESTERN_SPOKEN, 5.0),
    "mac_roman": (_WESTERN_SPOKEN, 5.0),
    "cp852": (_CENTRAL, 5.0),
    "mac_latin2": (_CENTRAL, 6.0),
    "iso8859_2": (_CENTRAL, 3.0),
    "iso8859_7": (("Greek",), 3.0),
    "cp866": (_CYRILLIC, 5.0),
    "koi8_r": (_CYRILLIC, 5.0),
    "koi8_u": (_CYRILLIC, 6.0),
    "mac_cyrillic": (_CYRILLIC, 6.0),
    "iso8859_5": (_CYRILLIC, 6.0),
    "iso8859_6": (("Arabic",), 3.0),
}
# Signs in shops' texts: those that may stand right before a word, right after one, or by themselves
_BEFORE, _AFTER = "‘“„‚«‹¿¡€£¥", "’”“»›®™©…²³"
_SIGNS = "–—•·§°½¼¾×\u00a0№′″±€£¥®™©…“”„«»’‘"
_COMMON_SIGNS = "–—’‘“”®™…·\u00a0€"
_STRANGE, _SIGN, _COMMON_SIGN, _ALONE = math.log(1e-5), math.log(2e-3), math.log(3e-2), math.log(5e-2)
_PLAIN = 0.1  # what a letter of ASCII says about the language, beside one in a word that has others
_SURE, _WESTERN_SURE = 3.0, 0.0  # nats by which the best reading must be likelier than the next one
_COMMONLY = -6.2  # the least mean log frequency of letters beyond ASCII that a reading may have
_TOKEN = re.compile(r"[^\x00-\x40\x5b-\x60\x7b-\x7f]+")  # letters, and all beyond ASCII
_WIDE = "[\u3041-\u30ff\u3400-\u9fff\uac00-\ud7a3]"
# An accented letter and its neighbour can be one Chinese character: read as Chinese, "Größe" is "Gr鲞e".
_AMID_LATIN = re.compile(
    f"(?<=[A-Za-z]){_WIDE}(?!{_WIDE})|(?<!{_WIDE}){_WIDE}{{1,2}}(?=[a-z])|(?<=[a-z]){_WIDE}{{1,2}}(?!{_WIDE})"
)


def charset(opened: Callable[[], IO[bytes]], where: str) -> str:
    """The encoding that lines with more than ASCII are in; the user's, where one is named.

    Some bytes that do not fit make no other table of one in UTF-8. Raises CatalogError where no encoding is likely.
    """
    if named := os.environ.get(ENCODING):
        return checked_encoding(named)
    with opened() as file:
        start = file.read(4096)
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return UTF_16
    if wide := _wide_unmarked(start):
        return wide
    with opened() as file:
        lines = list(_lines_beyond_ascii(file))
    if 2 * sum(_decoded(line, UTF_8) is not None for line in lines) >= len(lines):
        return UTF_8
    return _likeliest(b"\n".join(lines), where)


def document_charset(opened: Callable[[], IO[bytes]], where: str) -> str:
    """The encoding of a JSON or XML document that names none: UTF-8, unless its beginning cannot be.

    Raises CatalogError as `charset` does.
    """
    with opened() as file:
        start = file.read(_BLOCK)
    # such documents may have one line alone; a comma is no part of a larger character in any encoding
    return charset(lambda: io.BytesIO(start.replace(b",", b"\n")), where)


def checked_encoding(name: str) -> str:
    """The encoding of that name. Raises CatalogError for one that Python has not."""
    try:
        found = codecs.lookup(name)
    except LookupError as error:
        raise CatalogError(
            f"--encoding {name} is no encoding that is known; write utf-8, gb18030, shift_jis or cp1250, for example"
        ) from error
    return UTF_8 if found.name == "utf-8" else found.name


def _wide_unmarked(start: bytes) -> str | None:
    """UTF-16 or 32 without a mark at its start: commas, digits and line ends have zero bytes beside them."""
    quads = len(start) // 4
    zeros = [start[place : 4 * quads : 4].count(0) for place in range(4)]
    if quads and zeros[2] == zeros[3] == quads and not zeros[0]:
        return "utf-32-le"
    if quads and zeros[0] == zeros[1] == quads and not zeros[3]:
        return "utf-32-be"
    pairs = len(start) // 2
    even, odd = start[0 : 2 * pairs : 2].count(0), start[1 : 2 * pairs : 2].count(0)
    if pairs and not even and odd > 0.05 * pairs:
        return "utf-16-le"
    if pairs and not odd and even > 0.05 * pairs:
        return "utf-16-be"
    return None


def _lines_beyond_ascii(file: IO[bytes]) -> Iterator[bytes]:
    """The first lines that are not ASCII, whole; in every encoding but UTF-16 a line has whole characters."""
    rest, passed, found = b"", 0, 0
    while (block := file.read(_BLOCK)) and passed < BYTES_PASSED:
        passed += len(block)
        if rest.isascii() and block.isascii():
            rest = block[-_LONGEST_LINE:] if b"\n" not in block[-_LONGEST_LINE:] else block[block.rfind(b"\n") + 1 :]
            continue
        *lines, rest = (rest + block).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            if not line.isascii():
                yield _excerpt(line)
                found += 1
                if found == LINES_ASKED:
                    return
    if not rest.isascii():
        yield _excerpt(rest)


def _excerpt(line: bytes) -> bytes:
    """A part of a long line, from and to a blank, comma or other byte that is no part of a larger character."""
    if len(line) <= _EXCERPT:
        return line
    first = re.search(rb"[\x80-\xff]", line)
    start = first.start() if first else 0
    while start and line[start - 1] >= 0x30:
        start -= 1
    end = min(start + _EXCERPT, len(line))
    while end < len(line) and line[end] >= 0x30:
        end += 1
    return line[start:end]


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


@dataclass(frozen=True)
class _Reading:
    """A text in one of the encodings, and how likely a language writes it, in nats."""

    encoding: str
    text: str
    nats: float


def _likeliest(data: bytes, where: str) -> str:
    readings = _large_sets(data) or _alphabets(data)
    ranked = sorted(readings, key=lambda reading: -reading.nats)
    if ranked:
        margin = ranked[0].nats - max((other.nats for other in ranked[1:]), default=-math.inf)
        if margin >= (_WESTERN_SURE if ranked[0].encoding == WESTERN else _SURE):
            return ranked[0].encoding
    said = " or ".join(f"{reading.encoding} ({_example(reading.text)!r})" for reading in ranked[:2])
    raise CatalogError(
        f"{where} holds bytes that are not UTF-8, and it is not sure what they are{f': {said}' if said else ''}; "
        "name it (shopvl --encoding cp1250 ...), or save the table as UTF-8"
    )


def _alphabets(data: bytes) -> Collection[_Reading]:
    """The readings as words of letters; of encodings that give the same text, the likeliest."""
    readings: dict[str, _Reading] = {}
    for encoding, (languages, rarity) in _ALPHABETS.items():
        if (text := _decoded(data, encoding)) is None or any("\x80" <= letter < "\xa0" for letter in text):
            continue
        nats = max(_likelihood(text, language) for language in languages) - rarity
        if nats > -math.inf and (text not in readings or nats > readings[text].nats):
            readings[text] = _Reading(encoding, text, nats)
    return readings.values()


def _likelihood(text: str, language: str) -> float:
    """Nats of the words with anything beyond ASCII in a language; minus infinity for what no language writes."""
    frequency = _frequencies(language)
    nats, beyond, own_nats = 0.0, 0, 0.0
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token.isascii():
            continue
        core = token.lstrip(_BEFORE).rstrip(_AFTER)
        core = "" if not core.strip(_SIGNS) else core
        nats += sum(map(_sign_nats, token[: token.find(core)] + token[token.find(core) + len(core) :])) if core else 0.0
        nats += 0.0 if core else sum(map(_sign_nats, token))
        nats += _ALONE if len(core) == 1 else 0.0
        lower = core.lower()
        nats += 0.0 if core[1:] == lower[1:] else -1.0 if core.upper() == core else _STRANGE
        for letter in lower.replace("i\u0307", "i"):
            own = _COMMON_SIGN if letter in "’·" else frequency.get(letter, _STRANGE)
            nats += own
            if not letter.isascii():
                beyond, own_nats = beyond + 1, own_nats + own
    if beyond and own_nats / beyond <= _COMMONLY:
        return -math.inf
    plain = Counter(re.sub(r"[^a-z]", "", text.lower()))
    return nats + _PLAIN * sum(frequency.get(letter, _STRANGE) * count for letter, count in plain.items())


def _sign_nats(sign: str) -> float:
    return _COMMON_SIGN if sign in _COMMON_SIGNS else _SIGN


@lru_cache(maxsize=64)
def _frequencies(language: str) -> dict[str, float]:
    """Log frequency by letter; frequencies fall by about an eighth from one letter to the next."""
    letters = _LANGUAGES[language]
    scale = sum(math.exp(-rank / 8) for rank in range(len(letters)))
    return {letter: -rank / 8 - math.log(scale) for rank, letter in enumerate(letters)}


def _example(text: str) -> str:
    return next((match.group() for match in _TOKEN.finditer(text) if not match.group().isascii()), text[:20])


# --- East Asian sets of characters

# Characters that shops' tables are full of: what one of the large sets makes of another's bytes has none of them.
_SHOP_HAN = frozenset(
    "的色女男鞋裙衣裤褲包装裝新款黑白红紅蓝藍绿綠黄黃灰粉紫棕大小中长長短袖上下外套连連身休闲閒运運动動夏冬春秋季韩韓版"
    "时時尚气氣皮革棉质質感高跟平底童宝寶宽寬松鬆修显顯瘦印花条條纹紋格子领領圆圓百搭学學生正品手提单單肩双雙背心"
    "帽袜襪表錶链鏈饰飾牛仔毛针針织織衫"
)
_SHOP_HANGUL = frozenset(
    "원피스셔츠바지재킷가방구두치마블랙화이트남성여성신발티코니드청운동색빨간검은파란흰자레린터스판팬루리기라이"
    "오버핏반팔긴소매면가죽슬랙맨투후집업패딩롱숏미디백크숄더아용세상하의"
)


def _large_sets(data: bytes) -> list[_Reading]:
    """The readings as common East Asian characters."""
    readings = []
    for encoding in ("cp932", "euc_jp", "cp949", "big5hkscs", CHINESE):
        text = _decoded(data, encoding)
        if text is None or _UNASSIGNED.search(text):
            continue
        letters = [c for c in _AMID_LATIN.sub("?", text) if not c.isascii() and c.isalpha()]
        amid_latin = len(_AMID_LATIN.findall(text))
        if amid_latin < len(letters):
            mean = sum(_commonness(letter, encoding) for letter in letters) / (len(letters) + amid_latin)
            if mean >= _COMMON:
                readings.append(_Reading(encoding, text, _PER_COMMON * mean))
    return readings


def _commonness(letter: str, encoding: str) -> float:
    """1 for a common character of that set, more for one of shops, less or nothing for a rare one."""
    if encoding in ("cp932", "euc_jp"):
        if "ぁ" <= letter <= "ヿ":
            return 2.0
        return 0.6 if b"\x88\x9f" <= letter.encode("cp932", "replace") <= b"\x98\x72" else 0.0
    if encoding == "cp949":
        common = b"\xb0\xa1" <= letter.encode("cp949", "replace") <= b"\xc8\xfe" and letter.encode("cp949")[1] > 0xA0
        return (1.0 + (letter in _SHOP_HANGUL)) if common else 0.0
    first, last, name = (
        (b"\xb0\xa1", b"\xd7\xf9", "gb2312") if encoding == CHINESE else (b"\xa4\x40", b"\xc6\x7e", "big5")
    )
    return 1.0 + (letter in _SHOP_HAN) if first <= letter.encode(name, "replace") <= last else 0.0


_UNASSIGNED = re.compile("[\ue000-\uf8ff]")
_PER_COMMON = 60.0  # nats: a twentieth of commonness more makes a reading sure
_COMMON = 0.75  # the least mean commonness of a reading
