"""The JSON and FHIR API."""
