"""Kinds of product tables: a module a kind. `shopvl.catalog.readers` finds every one and opens files with it."""
