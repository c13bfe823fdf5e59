"""What people write for a picture: paths, addresses, lists of them, bytes, HTML, formulas of spreadsheets."""

from __future__ import annotations

import ast
import base64
import binascii
import html
import json
import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from html.parser import HTMLParser
from typing import Any

from shopvl.catalog.cells import BadCell, text_of

Told = Callable[[str, str], None]  # takes the kind of a guess, and a sentence with an example
Picture = dict[str, Any]  # {bytes, path}: the file, or where it is

# Addresses and files that need no second look, and what among them does: for polars, which has no look-ahead
PLAIN = (
    r"^(?:(?i:https?://)[^\s,;|<>\"'\\{}]+"
    r"|\w[^\s,;|<>\"'\\%={}:]*\.(?i:jpe?g|png|webp|gif|bmp|tiff?|avif|jfif|jpe|heic|heif))$"
)
NOT_PLAIN = r"^(?i:www\.|b['\"])"
_LONGEST = 8000  # characters of a cell that lists addresses
# What stands for no picture, in small letters and without signs around it
_NOTHING = frozenset(
    (
        *("nan", "null", "none", "nil", "n/a", "na", "n.a", "undefined", "nat", "value", "ref", "name", "tbd", "tba"),
        *("empty", "blank", "missing", "false", "no", "0", "null,null", "not available", "no image", "no picture"),
        *("no photo", "kein bild", "kein foto", "keine", "keins", "sans image", "pas d'image", "sin imagen"),
        *("sem imagem", "nessuna", "geen", "brak", "нет", "无", "暂无", "暂无图片", "なし", "없음"),
    )
)
_NO_SIGN = re.compile(r"[-–—?._*/]{1,3}")
_SIGNS = "()[]<>#!.? "
_ENDING = r"\.(?:jpe?g|jfif|jpe|png|webp|gif|bmp|tiff?|avif|heic|heif|jxl|svg)"
_FILE = re.compile(rf".*\S{_ENDING}(?:[?#]\S*)?", re.IGNORECASE)
_PICTURE = re.compile(rf"(?:https?:)?//\S+|www\.\S+|{_FILE.pattern}", re.IGNORECASE)
_ADDRESS_NEXT = r"(?=\s*['\"]?(?:https?:)?//|\s*['\"]?www\.)"
_FORMULA = re.compile(r"=\s*(?:@?[\w.]+\s*\(\s*)?\"((?:[^\"]|\"\")+)\"\s*(?=[,;)]|$)", re.IGNORECASE)
_STYLE = re.compile(r"(?:[\w-]+\s*:\s*)?url\(\s*['\"]?(.+?)['\"]?\s*\)\s*;?", re.IGNORECASE)
_LABELLED = re.compile(r"(?:[\w ]{1,20}(?:\s?=|:\s)|['+(])\s*(https?://[^\s()]+)\)?", re.IGNORECASE)
_NUMBERED = re.compile(r"\w+:\d+:\d+:[^|]*\|(https?://[^\s;]+);.*", re.IGNORECASE | re.DOTALL)  # as Taobao lists them
_ARRAY = re.compile(r"array\((\[.*\])(?:,\s*dtype=\w+)?\)", re.DOTALL)  # as numpy prints one
_HEX = re.compile(r"(?:0x|\\x)?((?:ffd8ff|89504e47|47494638|52494646)(?:[0-9a-f]{2}){16,})", re.IGNORECASE)
_MARKDOWN = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)[^)]*\)")
_BBCODE = re.compile(r"\[(img|url)[^\]]*\](.+?)\[/\1\]", re.IGNORECASE | re.DOTALL)
_BASE64 = re.compile(
    r"(?:/9j/|iVBORw0KGgo|R0lGOD|UklGR|SUkq|TU0AK|Qk0|AAAA[A-Za-z0-9+/]{3}mdHlw)[A-Za-z0-9+/\s]{40,}=*\s*"
)
_DATA = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[\w=.\-\"]+)*?)(;base64)?,", re.IGNORECASE)
_SLASHLESS = re.compile(r"(https?):?/*(?=\w)", re.IGNORECASE)
# of an object: first what holds the picture itself, then where it is, then other sizes of it
_BYTES_KEYS = ("bytes", "data", "base64", "b64")
_PLACE_KEYS = (
    *("path", "url", "src", "contenturl", "content_url", "href", "link", "uri", "file", "filename", "file_name"),
    *("image", "image_url", "imageurl", "image_src", "image_link", "secure_url", "cdn_url", "location", "original"),
    *("originalsrc", "full", "large", "hires", "medium", "main", "thumb", "thumbnail", "@id"),
)


def _untold(kind: str, sentence: str) -> None:
    """For guesses that nobody is told."""


def picture_of(cell: object, tell: Told = _untold) -> Picture | None:
    """The picture as `{bytes, path}`, None where the cell says that there is none; raises BadCell for what is neither.

    Of several pictures the first is the main one.
    """
    return next(_pictures(cell, tell), None)


def pictures_of(cell: object, tell: Told = _untold) -> list[Picture]:
    """All pictures of a cell, in its order; of what is no picture `tell` is told. Never raises BadCell."""
    found: list[Picture] = []
    try:
        found.extend(_pictures(cell, tell))
    except BadCell as error:
        tell("bad-further-picture", f"of the further pictures some are none: {error}")
    return found


def _pictures(cell: object, tell: Told) -> Iterator[Picture]:
    """One after the other; raises BadCell where the first is none."""
    match cell:
        case bytes():
            if cell:
                yield {"bytes": cell, "path": None}
        case list() | tuple():
            yield from _of_list(cell, tell)
        case Mapping():
            if (picture := _of_object(cell, tell)) is not None:
                yield picture
        case _:
            yield from _of_text((text_of(cell) or "").strip(" \t\r\n\u00a0\u200b\ufeff"), tell)


def _of_list(cells: Sequence[object], tell: Told) -> Iterator[Picture]:
    begun = False
    for cell in cells:
        try:
            for picture in _pictures(cell, tell):
                begun = True
                yield picture
        except BadCell as error:
            if not begun:
                raise
            tell("bad-further-picture", f"of the further pictures some are none: {error}")


def _of_object(cell: Mapping[Any, Any], tell: Told) -> Picture | None:
    own = {str(key).casefold(): value for key, value in reversed(list(cell.items())) if value not in (None, "", [], {})}
    data = next((own[key] for key in _BYTES_KEYS if key in own), None)
    if isinstance(data, str):
        data = _decoded(data, "the picture's bytes")
    if data is not None and not isinstance(data, bytes):
        raise BadCell(f"the picture's bytes are a {type(data).__name__}, base64 text was wanted")
    place = next((own[key] for key in _PLACE_KEYS if key in own), None)
    if data:
        path = place if isinstance(place, str) else None
        return {"bytes": data, "path": path and (path.strip() or None)}
    if place is not None:
        return picture_of(place, tell)
    for key, value in cell.items():  # an object by language or size, a list of pictures under another name
        if isinstance(value, Mapping | list) or (isinstance(value, str) and _PICTURE.fullmatch(value.strip())):
            try:
                found = picture_of(value, tell)
            except BadCell:
                continue
            tell("object-picture", f"of an object with {', '.join(map(str, list(cell)[:6]))} {key!r} is the picture")
            return found
    if own and not any(str(key).casefold() in (*_PLACE_KEYS, *_BYTES_KEYS) for key in cell):
        keys = ", ".join(map(str, list(cell)[:6]))
        raise BadCell(f"a picture as an object with {keys}; bytes, path, url, src or contentUrl was wanted")
    return None


def _of_text(text: str, tell: Told) -> Iterator[Picture]:
    if not text:
        return
    if text[:40].strip(_SIGNS).casefold() in _NOTHING or _NO_SIGN.fullmatch(text):
        tell("no-picture", f"{text!r} for a picture is read as none")
        return
    if text in ("[object Object]", "Array", "System.Object[]"):
        raise BadCell(f"{text!r} is what a program writes for a list that it does not spell out; export it again")
    if match := _ARRAY.fullmatch(text[:_LONGEST]):
        text = match[1]
    if (text[0] in "[{" and text[-1] in "]}" and not _BBCODE.fullmatch(text[:_LONGEST])) or text[:2] in ("b'", 'b"'):
        yield from _pictures(_literal(text), tell)
    elif match := _DATA.match(text):
        yield {"bytes": _of_data_address(match, text), "path": None}
    elif match := _HEX.fullmatch(text):
        yield {"bytes": bytes.fromhex(match[1]), "path": None}
    elif _BASE64.fullmatch(text):
        yield {"bytes": _decoded(text, "the picture"), "path": None}
    elif text[0] in "\"'`“‘" and len(text) > 1 and text[-1] in "\"'`”’":
        yield from _of_text(text[1:-1].strip(), tell)
    elif (inner := _unwrapped(text)) is not None:
        taken = f"a picture is taken out of what stands around it, e.g. {_short(inner)} of {_short(text)}"
        tell("wrapped-picture", taken)
        yield from _of_text(inner, tell)
    else:
        several = _several(text)
        if len(several) > 1:
            main = _short(several[0])
            tell("several-pictures", f"of several pictures in a cell the first is the main one, e.g. {main}")
        yield from ({"bytes": None, "path": _place(one, tell)} for one in several)


def _literal(text: str) -> object:
    """A list, object or bytes as JSON or as Python writes them."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        found: object = ast.literal_eval(re.sub(r"(['\"])\s+(?=['\"])", r"\1, ", text))  # numpy puts no commas
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        if not any(sign in text[1:-1] for sign in "\"'{}[]:"):  # [a.jpg, b.jpg], {a.jpg,b.jpg}
            return [part.strip() for part in text[1:-1].split(",")]
        raise BadCell(f"begins like a list, object or bytes but is none: {_short(text)}") from None
    return found


def _of_data_address(match: re.Match[str], text: str) -> bytes:
    kind, _, is_base64 = match.groups()
    if kind and not kind.lower().startswith(("image/", "application/octet-stream")):
        raise BadCell(f"a data: address that holds {kind}, where a picture was wanted")
    body = text[match.end() :]
    data = _decoded(urllib.parse.unquote(body), "a data: address") if is_base64 else urllib.parse.unquote_to_bytes(body)
    if not data:
        raise BadCell("a data: address that holds nothing")
    return data


def _decoded(text: str, what: str) -> bytes:
    """The bytes of base64 text, of the alphabet for addresses too; raises BadCell."""
    if match := _DATA.match(text):
        return _of_data_address(match, text)
    plain = re.sub(r"\s", "", text).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadCell(f"{what} is not base64 ({error})") from error


def _unwrapped(text: str) -> str | None:
    """What stands in a formula, in HTML, in Markdown or between angle brackets; None where nothing is around it."""
    if text.startswith("&lt;"):
        text = html.unescape(text)
    if text[0] == "<" or "<img" in text[:_LONGEST].lower():
        reader = _TagReader()
        reader.feed(text)
        if found := reader.pictures + reader.links:
            return found[0]
        if text[-1] == ">" and _PICTURE.fullmatch(text[1:-1]):
            return text[1:-1]
        raise BadCell(f"HTML without the address of a picture: {_short(text)}")
    if len(text) > _LONGEST:
        raise BadCell(f"{len(text):,} characters where the address of a picture was wanted: {_short(text)}")
    if text[0] == "=":
        if match := _FORMULA.match(text):
            return match[1].replace('""', '"')
        raise BadCell(f"a formula without an address in quotes: {_short(text)}; save the table with its values")
    if match := _MARKDOWN.match(text):
        return match[1]
    if match := _BBCODE.fullmatch(text):
        return match[2].strip()
    if text[0] == "(" and text[-1] == ")" and _PICTURE.fullmatch(text[1:-1]):
        return text[1:-1]
    match = _STYLE.fullmatch(text) or _LABELLED.fullmatch(text) or _NUMBERED.fullmatch(text)
    return match[1] if match else None


class _TagReader(HTMLParser):
    """Addresses in HTML: of pictures, those that a page loads late first, and of links."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One element."""
        own = {name: (value or "").strip() for name, value in attrs}
        sets = [own[name].split()[0].rstrip(",") for name in ("data-srcset", "srcset") if own.get(name)]
        places = [own[name] for name in ("data-src", "data-original", "src") if own.get(name)]
        if tag in ("img", "source", "image", "amp-img", "input"):
            self.pictures += [*places, *sets]
        elif tag in ("a", "link") and own.get("href"):
            self.links.append(own["href"])


def _several(text: str) -> list[str]:
    """The pictures that a cell lists; a comma or blank inside an address or a name of a file parts nothing."""
    text = re.sub(r"<br\s*/?>|\\r|\\n(?=\s*https?://)", "\n", text).strip("|;,\n ") or text
    for between, kind in (
        (r"[|\r\n\t]+", _PICTURE),
        (rf"[,;\s]+{_ADDRESS_NEXT}", _PICTURE),
        (r"\s*[;,]\s*|\s+[/+&]\s+", _FILE),
        (r"\s+", _FILE),
    ):
        parts = [part for part in (part.strip(" \t,;\"'") for part in re.split(between, text)) if part]
        pictures = [part for part in parts if part.casefold() not in _NOTHING]
        if len(parts) > 1 and pictures and all(map(kind.fullmatch, pictures)):
            return pictures
    return [text]


def _place(text: str, tell: Told) -> str:
    """An address as it can be fetched; a path as it stands."""
    meant = text
    if "&amp;" in meant or "&#" in meant:
        meant = html.unescape(meant)
    if re.match(r"https?:", meant, re.IGNORECASE) or meant.startswith(("//", r"\/\/")):
        meant = meant.replace(r"\/", "/").replace("\\", "/")
    if meant.startswith("//") or re.match(r"www\.[\w-]+\.", meant, re.IGNORECASE):
        meant = f"https://{meant.lstrip('/')}"
    elif match := re.match(r"https?://(?=https?://)", meant, re.IGNORECASE):
        meant = meant[match.end() :]
    elif (match := _SLASHLESS.match(meant)) and ("/" in match[0] or ":" in match[0]):
        meant = f"{match[1].lower()}://{meant[match.end() :]}"
    elif meant.lower().startswith("file:///"):
        meant = re.sub(r"^/(?=[A-Za-z]:[/\\])", "", urllib.parse.unquote(meant[7:]))
    if meant != text:
        tell("mended-address", f"the address {_short(text)} is read as {_short(meant)}")
    return meant


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:79] + "…")
