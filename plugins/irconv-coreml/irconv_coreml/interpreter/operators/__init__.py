"""The operators, one module a family; each module registers its own."""
