"""Features: names and their matching, and the matrix that every model kind sees."""
