"""The pass contract, the pass manager, and one pass a file."""
