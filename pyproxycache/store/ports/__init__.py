"""What the layers above may ask of a store: entries, whole bodies, room, and flights.

Each backend implements these protocols and passes the contract suite in `tests/contract`. What holds for
all:

- Every method may be called by any thread. A method that may wait says so; none waits for a client or an
  origin, and none is called with a lock of the caller's held.
- StoreError: the store cannot be used now (folder gone, index locked or damaged, disk full). Nothing was
  changed that another process could see half of. The caller logs it and answers without the store. NoSpace,
  a StoreError, says that there is no room.
- A process may be killed at any moment. The others then find every entry with its whole body or not at all,
  and every flight of the dead process free for a successor.
- Keys are cache keys. The key of a flight is that of the entries it brings, and where something follows, a
  space and what tells it from other flights of the key. Both are at most a request's size.
"""

from pyproxycache.store.ports.body_store import Bodies, Room
from pyproxycache.store.ports.download_writer import DownloadWriter, GrowingBody
from pyproxycache.store.ports.entry_index import EntryIndex
from pyproxycache.store.ports.flight_port import Flight
from pyproxycache.store.ports.flight_registry import Flights, JoinFlight, LeadFlight, NotStorable
from pyproxycache.store.ports.stated_digests import StatedDigests

__all__ = [
    "Bodies",
    "DownloadWriter",
    "EntryIndex",
    "Flight",
    "Flights",
    "GrowingBody",
    "JoinFlight",
    "LeadFlight",
    "NotStorable",
    "Room",
    "StatedDigests",
]
