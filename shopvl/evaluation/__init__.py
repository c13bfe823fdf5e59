"""How good a model is on a catalog, as figures, a page and a model card."""
