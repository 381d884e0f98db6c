"""Time and memory beside another version or a baseline."""
