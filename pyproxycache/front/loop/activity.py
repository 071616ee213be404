"""What a connection is doing: the type of its activity, each with its own rules for events and time."""

from __future__ import annotations

import select

NEVER = float("inf")
GONE = select.EPOLLHUP | select.EPOLLERR
"""The events of a connection that nobody is at the other end of any more."""


class Activity:
    """What one connection is doing; every step is taken by the poller's thread.

    Each step gives what the connection does from there on: this activity, another one, or CLOSED. At its
    `deadline` (monotonic) the activity expires.
    """

    __slots__ = ("deadline",)

    def __init__(self, deadline: float = NEVER) -> None:
        self.deadline = deadline

    @property
    def is_idle(self) -> bool:
        """Whether nobody says anything, so that closing the connection costs the client little."""
        return False

    def begin(self) -> Activity:
        """Do what is to be done first, now that this is the connection's activity."""
        return self.advance()

    def end(self) -> None:
        """Let go of what belongs to this activity alone; the connection has another one now."""

    def on_event(self, _event: int) -> Activity:
        """Do what epoll's events on the connection ask for."""
        return self.advance()

    def advance(self) -> Activity:
        """Go on as far as it goes without waiting: the connection has its turn."""
        return self

    def woken(self) -> Activity:
        """Go on because something else than the connection may have what was waited for."""
        return self.advance()

    def expire(self) -> Activity:
        """Decide what becomes of a connection whose deadline is over."""
        return CLOSED

    def give_way(self) -> Activity:
        """Let go of the connection, which is idle, for the sake of its descriptors."""
        return CLOSED

    def stop(self) -> Activity:
        """Get ready for the end of the worker."""
        return self

    def cut_off(self) -> Activity:
        """Come to the end that can be reached at once, as the worker has no more time."""
        return self

    def break_off(self) -> Activity:
        """Let go of everything, for a step has failed inside the cache."""
        return CLOSED


CLOSED = Activity()
"""The last activity of every connection: nothing any more."""
