"""Whether everything is set up as it should be: one file a subject, and what to do."""
