"""Run a daemon under load and measure it from outside."""
