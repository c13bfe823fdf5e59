"""From no labels to answers one can trust: guesses by name, the questions to ask, and what the decisions teach."""
