"""Monitoring: status, Prometheus metrics and the doctor."""
