"""Readers of counts: one file per layout, and the list that picks the one for a file."""
