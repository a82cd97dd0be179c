"""How each ONNX operator becomes TFLite operators: one small file per operator family."""
