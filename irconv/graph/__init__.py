"""Reading, checking, printing, walking and writing IR graphs."""
