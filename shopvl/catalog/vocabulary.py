"""Words that catalogs, models and pages share. No torch here."""

from __future__ import annotations

from typing import Literal

Decision = Literal["accept", "review", "unknown"]  # about an answer: use it, let a person look, or there is none
CATEGORY, CATEGORY_JOIN = "category", " > "  # the category is the property of that name, its value the joined path
