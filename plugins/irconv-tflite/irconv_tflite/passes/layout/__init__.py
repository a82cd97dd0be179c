"""Choice of layouts: rules of operators, candidates, decision, rewriting."""
