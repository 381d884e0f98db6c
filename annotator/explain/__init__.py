"""Pure computation: which features spoke for a prediction."""
