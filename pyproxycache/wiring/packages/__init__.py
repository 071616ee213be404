"""Builds what knows packages: mirrors, gates before releases, and which documents belong together."""
