"""Answers that people should look at: out as a sheet, corrections back in."""
