"""Rows of a catalog to tensors."""
