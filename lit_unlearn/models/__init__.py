"""Models: loading them or their first layers, finding their layers, choosing what is trained."""
