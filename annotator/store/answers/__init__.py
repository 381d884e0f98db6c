"""Answers: the work queue, predictions, the review queue."""
