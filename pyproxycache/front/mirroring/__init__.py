"""Mirrors: what clients are shown of package indexes under the cache's own address."""
