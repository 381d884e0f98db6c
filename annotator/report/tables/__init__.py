"""The tables of a report, as plain cells."""
