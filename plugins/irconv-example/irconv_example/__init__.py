"""An example plugin for irconv."""
