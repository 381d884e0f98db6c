"""Layouts of sample tables, one file per format; ``registry.py`` above lists them."""
