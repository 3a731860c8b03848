"""Questions: sources, perturbations, batches, scores, statistics."""
