"""Builds the admin listener, and what is shown and done there."""
