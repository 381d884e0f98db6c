"""Unit, integration and acceptance tests, and what they share."""
