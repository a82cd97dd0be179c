"""TensorRT-RTX engines as a target of irconv."""
