"""Check the installation and how to fix what is wrong: one file per subject."""
