"""Commands that measure accuracy, speed, reliability and growth under load."""
