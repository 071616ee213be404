"""The options of a gateway's routes, as those of other components in options.py."""
