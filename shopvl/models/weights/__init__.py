"""Weights of other libraries' models in layers of our own."""
