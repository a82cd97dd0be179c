"""Target coreml of irconv."""
