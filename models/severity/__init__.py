"""Severity of lung disease on one frontal radiograph."""
