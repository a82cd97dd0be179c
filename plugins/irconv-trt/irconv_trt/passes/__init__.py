"""Passes that fit a graph to TensorRT."""
