"""Daemons and monitoring."""
