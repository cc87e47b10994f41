"""Simulations with known truth: whether what the statistics promise is what happens."""
