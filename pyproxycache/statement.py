"""What the documents of a repository state of a file."""

from __future__ import annotations

from dataclasses import dataclass

STATED = "(stated)"
"""Stands in `vary` for the digests that a mirror states of the file, where others state others."""
MOST_OF_A_FILE = 16
"""Repositories whose statements of one file are kept."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What the documents of one repository state of a file.

    `repository` is the URL below which its packages are ("https://host/path/"), `digests` are pairs of
    algorithm and hex. `document` is the URL of the document that stated it last, "" where that is not known
    any more. `is_binding`: a body that differs is refused.
    """

    repository: str
    digests: tuple[tuple[str, str], ...]
    document: str = ""
    is_binding: bool = True

    @property
    def text(self) -> str:
        """The digests as one text, which is equal where they are."""
        return " ".join(f"{algorithm}:{digest}" for algorithm, digest in sorted(self.digests))
