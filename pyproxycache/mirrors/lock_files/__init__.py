"""Lock files: what they name, read as values."""
