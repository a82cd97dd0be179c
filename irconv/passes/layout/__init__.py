"""Holding tensors in another order of their dimensions than the model says."""
