"""Words that catalogs, models and pages share. No torch here."""

from __future__ import annotations

CATEGORY, CATEGORY_JOIN = "category", " > "  # the category is the property of that name, its value the joined path
