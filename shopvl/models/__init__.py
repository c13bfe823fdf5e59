"""Trainable layers. They receive plain numbers and modules, read a `Batch` and write an `Output`."""
