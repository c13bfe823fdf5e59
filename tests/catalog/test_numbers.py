"""Numbers and prices with the habits of the world."""

import pytest
from babel.numbers import format_currency, format_decimal
from hypothesis import given, settings
from hypothesis import strategies as st

from shopvl.catalog.numbers import decimal_mark, number_in, price_in

LOCALES = (
    "en_US",
    "de_DE",
    "de_CH",
    "fr_FR",
    "es_ES",
    "en_IN",
    "pt_BR",
    "pl_PL",
    "sv_SE",
    "ja_JP",
    "ru_RU",
    "ar_EG",
    "hi_IN",
    *("es_CL", "en_ZA", "ar_MA", "bgn", "da_DK", "id_ID", "vi_VN", "tr_TR", "he_IL", "ko_KR", "hu_HU", "fr_CA"),
)


@settings(max_examples=150, deadline=None)
@given(
    st.decimals("0.01", "9999999", places=2),
    st.sampled_from(LOCALES),
    st.sampled_from(["USD", "EUR", "PLN", "INR", "CHF"]),
)
def test_what_babel_writes_is_read_again(number, locale, currency):
    for text in (format_decimal(number, "#,##0.00", locale), format_currency(number, currency, locale=locale)):
        assert number_in(text) == pytest.approx(float(number)), (text, locale)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *[
            ("1,299.00", 1299),
            ("1.299,00 €", 1299),
            ("1 299,00 kr", 1299),
            ("CHF 1'299.50", 1299.5),
            ("₹1,00,000", 100_000),
        ],
        *[("64,99", 64.99), ("$49.50", 49.5), ("1,299", 1299), ("1.299 €", 1299), ("Rp1.299.000", 1_299_000)],
        *[
            ("1.299,-", 1299),
            ("CHF 12.–", 12),
            ("12.99 USD", 12.99),
            ("US$ 12", 12),
            ("R$ 1.299", 1299),
            ("34.0000", 34),
        ],
        *[("1.299", 1.299), ("0.125", 0.125), ("0,125", 0.125), ("١٢٫٥", 12.5), ("１２.５", 12.5), ("5.5 cm", 5.5)],
        *[("-5", -5), ("2024.01.15", None), ("v1.2.3", None), ("n/a", None), ("", None), ("42 / 44", 42), (".5", 0.5)],
    ],
)
def test_numbers_of_shops(text, number):
    assert number_in(text) == number


def test_a_column_says_what_stands_before_decimals():
    assert decimal_mark(["1.299", None, "n/a", "12,50"]) == ","
    assert decimal_mark(["1.299", "0.5"]) == "."
    assert decimal_mark(["1.299", "1,299", "7"]) is None
    assert decimal_mark(["12,50", "1.299", "0.5"]) is None, "of two customs in one column neither is that of the others"
    assert number_in("1.299", ",") == 1299
    assert number_in("1.299", ".") == 1.299
    assert number_in("1,299", ",") == 1.299
    assert number_in("1,299.50", ",") == 1299.5


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 9_999_999),
    st.sampled_from(LOCALES),
    st.sampled_from(["JPY", "KRW", "VND", "IDR", "CLP", "ISK", "PYG", "HUF"]),
)
def test_prices_without_decimals(number, locale, currency):
    text = format_currency(number, currency, "#,##0 ¤", locale=locale, currency_digits=False)
    assert price_in(text) == number, (text, locale)


@pytest.mark.parametrize(
    ("text", "price"),
    [
        *[("1299:-", 1299), ("Rs. 1,299/-", 1299), ("1.299.-", 1299), ("1.299,– €", 1299), ("12.-€", 12)],
        *[("12€99", 12.99), ("$.99", 0.99), ("99¢", 0.99), ("12,99 € *", 12.99), ("1,299円(税込)", 1299)],
        *[("MXN $1,299.00", 1299), ("US $12.99", 12.99), ("12,99 $ CA", 12.99), ("S/ 129.90", 129.9)],
        *[("$12.990", 12_990), ("₡12.990", 12_990), ("1.299 din.", 1299), ("12.000đ", 12_000), ("ISK 12.990", 12_990)],
        *[("TND 12,500", 12.5), ("KWD 12.500", 12.5), ("€\xa01،299٫50", 1299.5), ('129.90 ש"ח', 129.9)],
        *[("XXL 1.299", 1.299), ("12.99 USD/kg", None), ("12 € 99", None), ("12,99 €/St.", None), ("2.5 x 4 cm", None)],
    ],
)
def test_prices_of_shops(text, price):
    assert price_in(text) == price


@pytest.mark.parametrize(
    ("text", "is_price"),
    [
        *[
            ("12.99", True),
            ("€ 12", True),
            ("12,99 EUR", True),
            ("1.299,- kr", True),
            ("zł 5", True),
            ("₹1,00,000.00", True),
        ],
        *[
            ("on request", False),
            ("0", False),
            ("-3", False),
            ("12 - 15", False),
            ("", False),
            ("12.99.99", False),
            ("SKU 12-7", False),
        ],
    ],
)
def test_prices(text, is_price):
    assert (price_in(text) is not None) == is_price
