"""An answer to the operator, and how it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

TEXT, JSON, YAML = "text/plain; charset=utf-8", "application/json", "application/yaml"

# What is shown here is for nobody's cache, frame or script.
_FIELDS = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Connection", "close"),
)


@dataclass(frozen=True, slots=True)
class AdminReply:
    """The status and the content of an answer, with further fields."""

    status: int
    content: bytes
    content_type: str = TEXT
    fields: tuple[tuple[str, str], ...] = ()

    def sent(self, *, has_content: bool) -> bytes:
        """The bytes of the answer; without its content for HEAD."""
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        own = (("Content-Type", self.content_type), ("Content-Length", str(len(self.content))))
        lines += [f"{name}: {value}" for name, value in (*own, *_FIELDS, *self.fields)]
        head = "\r\n".join((*lines, "", "")).encode("latin-1")
        return head + self.content if has_content else head


def told(status: int, text: str, *fields: tuple[str, str]) -> AdminReply:
    """An answer of one line."""
    return AdminReply(status, f"{text}\n".encode("utf-8", "replace"), fields=fields)
