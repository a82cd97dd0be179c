"""Products of one value by several weights, as one product."""
