"""Target torchscript of irconv."""
