"""Experiments that cause faults, and check the state afterwards."""
