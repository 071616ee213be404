"""An HTTP(S) caching proxy that downloads each resource once and streams it to everyone."""

__version__ = "0.1.0"
