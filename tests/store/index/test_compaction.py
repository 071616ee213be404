"""Empty pages given back to the disk."""

from cachedir import URL, CacheDir, entry

_FREE = "PRAGMA freelist_count"


def test_empty_pages_go_many_in_a_transaction(cache: CacheDir) -> None:
    cache.insert(entry(f"{URL}/{number}", text="x" * 2000) for number in range(2000))
    cache.index.purge_matching()
    cache.removals.drop_unnamed(cache.blobs)
    ((before,),) = cache.database.select(_FREE)
    assert before > 800
    statements: list[str] = []
    with cache.database.write() as db:
        db.set_trace_callback(statements.append)
    cache.removals.compact()
    with cache.database.write() as db:
        db.set_trace_callback(None)
    ((after,),) = cache.database.select(_FREE)
    assert after <= 256
    assert statements.count("COMMIT") <= (before - after) / 100 + 3
