"""The entry point of the command, also as `python -m pyproxycache`."""

import os
import sys

_INTERRUPTED = 130


def run() -> None:
    """Run the command; Ctrl-C ends it without a traceback, also while modules are being imported."""
    _open_standard_streams()
    try:
        from pyproxycache.cli import main
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    main()


def _open_standard_streams() -> None:
    """Open standard streams that are closed on /dev/null.

    Otherwise a file or a socket would get their descriptor, and what is printed.
    """
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != fd:
                os.dup2(null, fd)
                os.close(null)
            setattr(sys, name, os.fdopen(fd, mode))


if __name__ == "__main__":
    run()
