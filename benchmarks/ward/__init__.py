"""The dashboard of a large hospital, measured from outside."""
