"""Layouts of counts, one file per tool or format; ``registry.py`` above lists them."""
