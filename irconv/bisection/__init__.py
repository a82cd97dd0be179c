"""Finding what broke an output: the pass, the rewrite inside it, the tensor."""
