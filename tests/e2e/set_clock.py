"""A wall clock that is set while a server runs."""

from __future__ import annotations

import os
from pathlib import Path

from harness import clean_environment

# What the server's interpreters run first. (With libfaketime no thread of Python's can sleep.)
SET = """
import os, time
as_it_is = time.time

def set_time():
    with open(os.environ["CLOCK"]) as file:
        return as_it_is() + float(file.read())

time.time = set_time
"""


class Clock:
    """The wall clock of the processes that get `environment`; their steady ones go on as they are."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.set(0)
        (folder / "sitecustomize.py").write_text(SET)
        paths = [str(folder), clean_environment()["PYTHONPATH"]]
        self.environment = {"PYTHONPATH": os.pathsep.join(paths), "CLOCK": str(self._file)}

    def set(self, seconds: int) -> None:
        """By so many seconds ahead of the machine's."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.replace(self._file)
