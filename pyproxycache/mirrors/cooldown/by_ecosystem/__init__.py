"""How the documents of each ecosystem tell of releases."""
