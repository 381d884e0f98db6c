"""Watch: status, Prometheus metrics, doctor."""
