"""Carina as a DICOM node, measured beside Orthanc and dcmtk's storescp."""
