"""The passes that fit a graph to OpenVINO."""
