"""From a legalized model to a TFLite FlatBuffer, in memory as plain data first."""
