"""Lets only requests with a valid OAuth 2.0 token through (RFC 6749, RFC 6750, RFC 7662)."""
