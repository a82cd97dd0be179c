"""Decompositions of operators that a target lacks into simpler ones, by family."""
