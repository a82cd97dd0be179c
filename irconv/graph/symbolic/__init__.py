"""Sizes of tensors as expressions in the sizes of a model's inputs, and what follows from them."""
