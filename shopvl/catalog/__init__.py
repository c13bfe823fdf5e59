"""Products as tables: how they are read, checked, described and asked for. Imports no torch."""
