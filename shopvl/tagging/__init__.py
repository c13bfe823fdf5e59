"""Answers for a whole catalog: read, prepare, answer, write; resumable, in one process or many."""
