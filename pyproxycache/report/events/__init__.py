"""Events: each request of a route as a message, spooled on the disk and sent on by a thread."""
