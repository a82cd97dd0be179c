"""What fuse-attention looks for: scores, probabilities, masks, and queries, keys and values."""
