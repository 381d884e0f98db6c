"""A daemon under load, measured from outside."""
