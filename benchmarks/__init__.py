"""Commands that measure: accuracy, speed, faults and growth under load."""
