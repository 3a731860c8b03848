"""`forget-tokens`: n-grams by their similarity to their document."""
