"""Running calls in parallel: on processes of this machine, or on a cluster."""
