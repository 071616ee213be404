"""Downloads, led by one for all who ask."""

from pyproxycache.download.leading import Downloader

__all__ = ["Downloader"]
