"""`alternatives`: other answers to the questions of the forget stream."""
