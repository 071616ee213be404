"""Packages of Linux distributions: indexes whose names are relative, and files of any age."""
