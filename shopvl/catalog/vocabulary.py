"""Words that catalogs, models and pages share. No torch here."""

from __future__ import annotations

from typing import Literal

Decision = Literal["accept", "review", "unknown"]  # about an answer: use it, let a person look, or there is none
Reason = Literal[  # of a decision
    "accepted",
    "below the threshold",
    "picture and title disagree",
    "input unfamiliar",
    "input empty",
    "category unknown",
    "property does not apply",
    "values do not go together",
    "input barely familiar",
    # of what texts state (catalog/kinds)
    "not stated",
    "texts disagree",
    "outside its span",
]
UNKNOWN = "unknown"  # the answer, and the word in a sheet, that says a product does not have this property
NO_CATEGORY = (UNKNOWN,)  # the category path of a row that says: this product is of none of the categories
UNKNOWN_BELOW = 0.2  # an answer this unlikely is not worth a reviewer's look
DEFAULT_PRECISION = 0.95  # of accepted answers, by default
MOST_PICTURES = 5  # of a product that are looked at, the main one among them
# By input, the share of validation rows that look no more familiar. From FAMILIAR_FROM on the model knows it. From
# BARELY_FAMILIAR_FROM on it is asked where nothing better is there, and nothing that it says then is accepted. What is
# below is set aside. Titles of other goods are told from known ones more easily than pictures are.
FAMILIAR_FROM = {"image": 0.025, "title": 0.01}
BARELY_FAMILIAR_FROM = {"image": 0.01, "title": 0.005}
CATEGORY, CATEGORY_JOIN = "category", " > "  # the category is the property of that name, its value the joined path
TAXONOMY_ID = "taxonomy id"  # in exports: the number of a product's category in a public taxonomy
TitleGroup = Literal["", "named", "unnamed"]  # of products: all; their title names a value of the property, or none
# Variables of the environment: hosts and networks of one's own that pictures are fetched from, with commas; and what
# servers are told that asks
ALLOW_HOSTS, USER_AGENT = "SHOPVL_ALLOW_HOSTS", "SHOPVL_USER_AGENT"
ENCODING = "SHOPVL_ENCODING"  # the encoding of text tables that are not UTF-8
