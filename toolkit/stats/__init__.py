"""Estimates and their intervals: arrays in, arrays out; knows nothing of deployments."""
