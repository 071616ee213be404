"""The commands that download into a cache."""
