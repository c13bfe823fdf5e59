"""Numbers and prices as shops of the world write them: `1,299.00 €`, `1.299,-`, `₹1,00,000`, `CHF 1'299.–`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from shopvl.catalog.column_labels import LABELS

PRICE_COLUMNS = ("price", "sale_price", "list_price", "regular_price", *LABELS["price"])
_SPACES = " \u00a0\u202f\u2009"
_MARKS = str.maketrans("，．٫٬،⹁", ",..,,,", "\u200e\u200f\u061c")
_APOSTROPHES = "'’`´"
_DIGITS = rf"\d+(?:[{_SPACES}{_APOSTROPHES}.,·]\d+)*"
_NUMBER = re.compile(rf"(?<![\d.,])([-−–(]?\s?)({_DIGITS}|[.,]\d+)")
_SPACED = re.compile(rf"\d{{1,3}}(?:[{_SPACES}]\d{{3}})+(?:[.,]\d+)?")
_ENDLESS = re.compile(r"(\d)\s?(?:([.,])|[:/])\s?[-–—=]+")  # 1.299,- and 12.– and 1299:-
_INSIDE = re.compile(r"(\d)([€£$])(\d\d)(?!\d)")  # 12€99
_GROUPS = re.compile(r"\d{1,3}(?:\.\d{3})+|\d{1,3}(?:,\d{3})+|\d{1,2}(?:,\d{2})+,\d{3}")  # the last as in India
_LETTERS = r"[^\W\d_]"
# Three digits behind a mark are thousands where a currency stands, but for those with as many decimals
_CODES = (
    "USD|EUR|GBP|JPY|CNY|RMB|INR|CHF|SEK|NOK|DKK|ISK|PLN|CZK|HUF|RON|BGN|RSD|MKD|ALL|UAH|RUB|KZT|UZS|GEL|TRY|ILS|AED|SAR"
    "|QAR|EGP|MAD|DZD|ZAR|NGN|KES|GHS|TZS|UGX|XOF|XAF|CAD|AUD|NZD|HKD|TWD|SGD|MYR|IDR|PHP|THB|VND|KRW|PKR|BDT|LKR|NPR"
    "|MXN|BRL|ARS|CLP|COP|PEN|UYU|PYG|BOB|CRC|GTQ|DOP"
)
_CURRENCY = re.compile(
    rf"[^\w\s.,:;*+/()'\"%&#@!?-]|(?<![^\W\d_])(?:{_CODES}|kr|zł|Kč|Ft|lei|лв|руб|грн|din|Rp|Rs|RM|TL|DH|kn)(?![^\W\d_])"
    r"|[đ円元원]"
)
_THREE_DECIMALS = re.compile(r"(?<![A-Z])(?:KWD|KD|BHD|BD|OMR|JOD|JD|TND|DT|LYD|LD|IQD)(?![A-Z])|د\.[كبتعل]")
_MONEY = rf"(?:{_LETTERS}{{1,5}}\.?|{_LETTERS}/|{_LETTERS}{{1,3}}[\"״]{_LETTERS}|[^\w\s.,+*/()-]{{1,3}})"
_PRICE = re.compile(
    rf"(?:{_MONEY}\s?){{0,2}}(?:{_DIGITS}|\.\d\d)\s?(?:{_MONEY}\s?){{0,2}}\*?(?:\({_LETTERS}{{1,6}}\.?\))?"
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

    Where neither the number nor `mark` says whether `1.299` is about one or above a thousand, a currency does: few have
    three decimals. Without one, a comma before three digits groups them, and a point stands before decimals.

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
        other = "," if marks[0] == "." else "."
        if len(marks) > 1:
            if not _GROUPS.fullmatch(digits):
                return None
            own = other
        elif _THREE_DECIMALS.search(plain):
            own = marks[0]
        else:
            own = mark or (other if marks[0] == "," or _CURRENCY.search(plain) else marks[0])
    whole, _, part = digits.partition(own) if own else (digits, "", "")
    try:
        number = float(f"{re.sub('[.,]', '', whole) or 0}.{part or 0}")
    except ValueError:
        return None
    number /= 100 if "¢" in plain else 1
    return -number if match[1].strip() else number


def price_in(text: str, mark: str | None = None) -> float | None:
    """The price that a whole text is, with or without a currency; None for anything else, and for 0 and less."""
    plain = _plain(text).strip()
    number = number_in(plain, mark) if _PRICE.fullmatch(plain) else None
    return number if number and number > 0 else None


def _plain(text: str) -> str:
    """Digits of every script as ASCII, and zeros where a stroke stands for no cents."""
    plain = "".join(str(unicodedata.decimal(letter, letter)) for letter in text).translate(_MARKS)
    plain = _INSIDE.sub(r"\1.\3\2" if "." not in plain else r"\1,\3\2", plain)
    return _ENDLESS.sub(_cents, plain)


def _cents(end: re.Match[str]) -> str:
    """A stroke for no cents as zeros, behind a mark that groups no digits before it."""
    mark, before = end[2], end.string[: end.start()]
    if mark and mark in before:
        mark = "." if mark == "," else ","
    return f"{end[1]}{mark}00" if mark else end[1]


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
