"""Several processes: what is sharded together, strategies, forwards outside a step."""
