"""Running models: hooks, part of a model, the frozen model, both as a pair."""
