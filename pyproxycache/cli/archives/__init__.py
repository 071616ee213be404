"""The commands that carry what is stored to another machine."""
