"""Pools: several upstreams that answer the same requests, of which each goes to one that is well."""
