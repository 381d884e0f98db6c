"""The report of a release: figures and one HTML file, from plain data."""
