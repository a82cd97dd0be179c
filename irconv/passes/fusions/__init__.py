"""Fusions: several nodes become one operator of the ONNX standard that computes the same."""
