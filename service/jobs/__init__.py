"""What happens to a study, durably."""
