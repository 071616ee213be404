"""Builds the two kinds of workers: those with a store, and those that pass requests on."""
