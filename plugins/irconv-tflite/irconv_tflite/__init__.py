"""Target tflite of irconv."""
