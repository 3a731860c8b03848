"""The studies on the demo world: methods, repairs and controls over seeds."""
