"""The models of a release of one field, and its files."""
