"""What a route does around the engine's work: with fields, origins of pages, sizes and codings."""
