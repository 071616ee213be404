"""How values of one subject each are written."""
