"""What is said of a value that is not accepted."""

from __future__ import annotations


def refusal(value: object, what: str) -> ValueError:
    """The error for a value that is not what is accepted."""
    return ValueError(f"{value!r} is not {what}")


def refusal_of_place(value: object, what: str) -> ValueError:
    """As refusal(), for where a password may stand before an `@`: messages go to logs."""
    if isinstance(value, str) and "@" in value:
        behind = value.rpartition("@")[2]
        return ValueError(
            f"user names and passwords are not written here, before '@{behind}': for a parent, "
            "parent.credentials names a file of them, and for a mirror, mirrors.upstream.credentials"
        )
    return refusal(value, what)
