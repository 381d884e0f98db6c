"""The work queue, predictions and the review queue."""
