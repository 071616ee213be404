"""A lock in memory that processes share, which is free again when its holder dies."""

from __future__ import annotations

import ctypes
import errno
import os
from mmap import mmap

SIZE = 128
"""The bytes that a lock takes: more than a mutex has on any machine."""

# As Linux's C libraries number them (pthread.h).
_SHARED, _ROBUST, _CHECKED = 1, 1, 2

_libc = ctypes.CDLL(None)
# What is called through this one keeps the interpreter: who waits for it with the lock held, stops all.
_at_once = ctypes.PyDLL(None)
for _function in (_at_once.pthread_mutex_trylock, _at_once.pthread_mutex_unlock, _libc.pthread_mutex_lock):
    _function.argtypes = [ctypes.c_void_p]


class RobustLock:
    """A mutex at the offset of shared memory, made before the fork and used by all threads after it.

    Where its holder has died, killed or not, the next one has it: what it guards has to be mended then by
    what is written there.
    """

    def __init__(self, memory: mmap, offset: int) -> None:
        self._bytes = (ctypes.c_char * SIZE).from_buffer(memory, offset)  # keeps the memory mapped
        self._address = ctypes.addressof(self._bytes)
        attributes = ctypes.create_string_buffer(SIZE)
        _check(_libc.pthread_mutexattr_init(attributes))
        _check(_libc.pthread_mutexattr_setpshared(attributes, _SHARED))
        _check(_libc.pthread_mutexattr_setrobust(attributes, _ROBUST))
        _check(_libc.pthread_mutexattr_settype(attributes, _CHECKED))
        _check(_libc.pthread_mutex_init(self._bytes, attributes))
        self._try = _at_once.pthread_mutex_trylock
        self._unlock = _at_once.pthread_mutex_unlock

    def __enter__(self) -> None:
        status = self._try(self._address)
        if status == errno.EBUSY:
            status = _libc.pthread_mutex_lock(self._address)
        if status == errno.EOWNERDEAD:
            status = _libc.pthread_mutex_consistent(self._bytes)
        _check(status)

    def __exit__(self, *_raised: object) -> None:
        self._unlock(self._address)


def _check(status: int) -> None:
    if status:
        raise OSError(status, os.strerror(status))
