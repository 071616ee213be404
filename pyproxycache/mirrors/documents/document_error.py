"""What is raised where a document is not of the form that its ecosystem has."""

from __future__ import annotations


class DocumentError(ValueError):
    """The document is not of its ecosystem's form; the text says why."""
