"""Clients of package repositories: what they are configured with, and how a mirror is set up in them."""
