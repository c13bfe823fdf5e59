"""Products through a model: embeddings, calibrated answers, replies to questions."""
