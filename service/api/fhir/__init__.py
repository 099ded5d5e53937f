"""FHIR R4: observations in; risk, severity and reports out."""
