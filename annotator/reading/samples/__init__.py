"""Readers of sample tables: one file per layout, and one way from columns to records."""
