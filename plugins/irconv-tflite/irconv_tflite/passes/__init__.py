"""Passes that fit a model to TFLite."""
