"""Annotate: claim samples, predict, explain and store."""
