"""Documents that name files, read and changed as their bytes arrive."""
