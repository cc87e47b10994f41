"""Simulated coverage: how often an interval that says 95 % holds the truth."""
