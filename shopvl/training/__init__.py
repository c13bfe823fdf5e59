"""Learning: the loop, its schedule and checkpoints, heads on top, and the record of every run."""
