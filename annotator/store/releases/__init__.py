"""Training runs, releases with their files, held-out predictions and explanations."""
