"""The table of features and samples, read in bounded memory."""
