"""What a design is for: tagging, answering, search, and knowing how far to trust them."""
