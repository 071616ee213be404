"""Package ecosystems as data: paths that never change, documents that name files, how these are read."""
