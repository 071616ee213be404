"""Builds what is a route's own."""
