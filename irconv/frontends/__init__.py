"""Source formats: the frontend contract and the frontends of the core."""
