"""Pure computation: from labelled profiles to validated, calibrated models."""
