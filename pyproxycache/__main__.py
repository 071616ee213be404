"""The command, also as `python -m pyproxycache`."""

import sys

_INTERRUPTED = 130


def run() -> None:
    """Run the command; Ctrl-C while it is being loaded ends it without a traceback, as it does later."""
    try:
        from pyproxycache.cli import main
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    main()


if __name__ == "__main__":
    run()
