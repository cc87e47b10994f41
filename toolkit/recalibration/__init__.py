"""Recalibration: what a year of deployments says about a threshold, how sure that is, and when it says nothing."""
