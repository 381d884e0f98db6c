"""What grows while the program runs."""
