"""A recipe with weights: built, saved, loaded."""
