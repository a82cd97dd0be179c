"""Steps of a recurrent cell, written out one after another, and the operator that they are."""
