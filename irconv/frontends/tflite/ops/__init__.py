"""Converters of TFLite's operators, a file a family."""
