"""What is said of a value that is not accepted."""

from __future__ import annotations


def refusal(value: object, what: str) -> ValueError:
    """The error for a value that is not what is accepted."""
    return ValueError(f"{as_written(value)} is not {what}")


def as_written(value: object) -> str:
    """The value as who wrote the configuration knows it: YAML's true, and not Python's."""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)


def refusal_of_place(value: object, what: str) -> ValueError:
    """As refusal(), for where a password may stand before an `@`: messages go to logs."""
    if isinstance(value, str) and "@" in value:
        behind = value.rpartition("@")[2]
        return ValueError(
            f"user names and passwords are not written here, before '@{behind}': for a parent, "
            "parent.credentials names a file of them, for a mirror, mirrors.upstream.credentials, and a "
            "route's headers.request.set has authorization, as in 'Basic ${file:/PATH}'"
        )
    return refusal(value, what)
