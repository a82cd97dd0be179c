"""Converting single nodes between versions of the ONNX operator set."""
