"""What an administrator sees and does: one source for pages, API, command line and metrics."""
