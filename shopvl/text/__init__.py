"""Words: the tokenizer."""
