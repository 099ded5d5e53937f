"""The clinicians' pages."""
