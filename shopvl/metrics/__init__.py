"""Figures of retrieval, classification, calibration, and their intervals."""
