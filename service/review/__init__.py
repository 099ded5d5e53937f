"""Readers beside the model: verdicts, redrawn contours, agreement, order of work, labels."""
