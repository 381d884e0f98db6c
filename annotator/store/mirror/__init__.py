"""The mirror of the atlas: importing, expression, cohorts."""
