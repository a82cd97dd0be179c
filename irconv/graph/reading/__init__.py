"""Reading model files that nobody vouches for: the wire format, external data, mapped weights."""
