"""Activities: what a connection is doing, each with its own reaction to events and its own deadline."""

from __future__ import annotations

import select

NEVER = float("inf")
GONE = select.EPOLLHUP | select.EPOLLERR
"""The epoll events of a connection whose other end is gone."""


class Activity:
    """What one connection is doing; all methods are called by the poller's thread, and none waits.

    Each step returns the activity that follows: this one, another one, or CLOSED. At its `deadline`
    (monotonic seconds) the activity expires.
    """

    __slots__ = ("deadline",)

    def __init__(self, deadline: float = NEVER) -> None:
        self.deadline = deadline

    @property
    def is_idle(self) -> bool:
        """Whether the connection is idle, so that closing it costs the client little."""
        return False

    def begin(self) -> Activity:
        """Take the first step; called once this is the connection's activity."""
        return self.advance()

    def end(self) -> None:
        """Release what belongs to this activity alone; called when another one has followed it."""

    def on_event(self, _event: int) -> Activity:
        """Take the step that epoll's events on the connection call for."""
        return self.advance()

    def advance(self) -> Activity:
        """Go on as far as is possible without waiting; called when it is the connection's turn."""
        return self

    def woken(self) -> Activity:
        """Go on after a wake-up: what the activity waits for, beside events, may have come."""
        return self.advance()

    def expire(self) -> Activity:
        """Take the step that follows from the deadline having passed."""
        return CLOSED

    def give_way(self) -> Activity:
        """Give up the idle connection, as its descriptors are needed."""
        return CLOSED

    def stop(self) -> Activity:
        """Prepare for the end of the worker, which takes no further requests."""
        return self

    def cut_off(self) -> Activity:
        """Take the last step, as the worker ends now."""
        return self

    def break_off(self) -> Activity:
        """Give up the connection after a step that has failed inside the cache."""
        return CLOSED


CLOSED = Activity()
"""The last activity of every connection, which is closed by then."""
