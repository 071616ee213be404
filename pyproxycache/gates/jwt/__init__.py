"""Verifies tokens that are JWTs (RFC 7519) by the keys of their issuer."""
