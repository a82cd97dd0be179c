"""Measuring whether a rewrite pays on a target."""
