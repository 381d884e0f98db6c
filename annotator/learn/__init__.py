"""Learning: from labelled profiles to validated, calibrated models, without a database."""
