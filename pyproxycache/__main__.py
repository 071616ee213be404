"""`python -m pyproxycache` is the command."""

from pyproxycache.cli import main

main()
