"""Kinds of properties whose values a text states: a module a kind, named as an ontology writes it after `kind`."""
