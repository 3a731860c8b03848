"""The LightningModules: unlearning, and questions alone."""
