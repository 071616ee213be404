"""Metrics: figures that all workers count, summed for whoever watches the server."""
