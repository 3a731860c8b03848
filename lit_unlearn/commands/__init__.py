"""What is typed: one folder or file for each command."""
