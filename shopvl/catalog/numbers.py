"""Numbers and prices as shops of the world write them: `1,299.00 €`, `1.299,-`, `₹1,00,000`, `CHF 1'299.–`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_SPACES = " \u00a0\u202f\u2009"
_APOSTROPHES = "'’`´"
_DIGITS = rf"\d+(?:[{_SPACES}{_APOSTROPHES}.,·]\d+)*"
_NUMBER = re.compile(rf"(?<![\d.,])([-−–(]?\s?)({_DIGITS}|[.,]\d+)")
_SPACED = re.compile(rf"\d{{1,3}}(?:[{_SPACES}]\d{{3}})+(?:[.,]\d+)?")
_ENDLESS = re.compile(r"([.,])\s?[-–—=]+")  # 1.299,- and 12.–
_GROUPS = re.compile(r"\d{1,3}(?:\.\d{3})+|\d{1,3}(?:,\d{3})+|\d{1,2}(?:,\d{2})+,\d{3}")  # the last as in India
# Currencies of countries that put a comma before the cents
_COMMA = re.compile(
    r"€|EUR|\bkr\b|SEK|NOK|DKK|zł|PLN|Kč|CZK|Ft|HUF|lei|RON|лв|BGN|₽|руб|RUB|₺|TRY|R\$|BRL|Rp|IDR|₫|VND|ARS|CLP|COP"
)
_PRICE = re.compile(
    rf"(?:[^\W\d_.,]{{1,5}}\.?|[^\w\s.,+*/(-]){{0,3}}\s?{_DIGITS}\s?(?:[^\W\d_.,]{{1,5}}\.?|[^\w\s.,+*/()-]){{0,3}}"
)


def decimal_mark(texts: Iterable[str | None]) -> str | None:
    """`.` or `,` where the texts of a column show which stands before the decimals, None where none of them does, and
    where some show the one and some the other."""
    marks: set[str] = set()
    for text in texts:
        for _, digits in _NUMBER.findall(_plain(text or "")):
            mark = _shown_mark(re.sub(rf"[{_SPACES}{_APOSTROPHES}]", "", digits))
            marks |= {mark} if mark else set()
        if len(marks) > 1:
            return None
    return next(iter(marks), None)


def number_in(text: str, mark: str | None = None) -> float | None:
    """The first number of a text, None without one, and for dates and versions; `mark` stands before its decimals.

    Where neither the number nor `mark` says whether `1.299` is about one or above a thousand, its currency does; else
    a comma before three digits groups them, and a point stands before decimals.

    >>> number_in("₹1,00,000"), number_in("1.299,00 €"), number_in("1.299 €"), number_in("from 0.125 kg")
    (100000.0, 1299.0, 1299.0, 0.125)
    """
    plain = _plain(text)
    match = _NUMBER.search(plain)
    if match is None:
        return None
    digits = match[2]
    if any(letter in digits for letter in _SPACES) and not _SPACED.fullmatch(digits):
        digits = re.split(rf"[{_SPACES}]", digits)[0]  # two numbers
    digits = re.sub(rf"[{_SPACES}{_APOSTROPHES}·]", "", digits)
    marks = [letter for letter in digits if letter in ".,"]
    own = _shown_mark(digits)
    if own is None and marks:
        if _GROUPS.fullmatch(digits) and (len(marks) > 1 or marks[0] == ","):
            own = "," if marks[0] == "." else "."
            if mark == marks[0] and len(marks) == 1:
                own = mark
        elif len(marks) == 1:
            own = mark or ("," if _COMMA.search(plain) else ".") if marks[0] == "." else ","
        else:
            return None
    whole, _, part = digits.partition(own) if own else (digits, "", "")
    try:
        number = float(f"{re.sub('[.,]', '', whole) or 0}.{part or 0}")
    except ValueError:
        return None
    return -number if match[1].strip() else number


def price_in(text: str, mark: str | None = None) -> float | None:
    """The price that a whole text is, with or without a currency; None for anything else, and for 0 and less."""
    plain = _plain(text).strip()
    number = number_in(plain, mark) if _PRICE.fullmatch(plain) else None
    return number if number and number > 0 else None


def _plain(text: str) -> str:
    """Digits of every script as ASCII, and zeros where a stroke stands for no cents."""
    plain = "".join(str(unicodedata.decimal(letter, letter)) for letter in text).replace("٫", ".").replace("٬", ",")
    return _ENDLESS.sub(r"\g<1>00", plain)


def _shown_mark(digits: str) -> str | None:
    """What stands before the decimals, where the number itself shows it."""
    points, commas = digits.count("."), digits.count(",")
    if points and commas:
        mark = "." if digits.rfind(".") > digits.rfind(",") else ","
        return mark if digits.count(mark) == 1 else None
    if points + commas != 1:
        return None
    mark = "." if points else ","
    whole, _, part = digits.partition(mark)
    return mark if len(part) != 3 or len(whole) > 3 or whole in ("", "0") else None
