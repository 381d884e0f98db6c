"""The mirror of the atlas: imports, expression and cohorts."""
