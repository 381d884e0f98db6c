"""Accuracy on real and simulated atlases, with whole datasets held out."""
