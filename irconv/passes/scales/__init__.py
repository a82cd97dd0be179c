"""Moving constant factors along linear operators into weights."""
