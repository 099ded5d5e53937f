"""DICOM in, results out: the service around the models."""
