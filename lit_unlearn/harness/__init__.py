"""The lm-eval harness, its tasks and ours."""
