"""Checking a model message with our own eyes before any other library works on it."""
