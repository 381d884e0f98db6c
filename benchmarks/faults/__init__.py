"""What the program withstands."""
