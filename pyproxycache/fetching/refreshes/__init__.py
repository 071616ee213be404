"""What is asked of origins in the background, with no client that waits."""
