"""Losses. They read a `Batch` and an `Output`, own no weights and cannot see models."""
