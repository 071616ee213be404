"""The only place that builds the objects and joins them: one module for each part of the house."""
