"""The commands about mirrors."""
