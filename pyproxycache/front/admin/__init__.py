"""The admin listener: what the operator asks of the server, at an address of its own."""
