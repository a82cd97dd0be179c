"""What fuse-rotary-embedding looks for: halves turned against each other, and their angles."""
