"""Guests whose pages are known: built, started with a workload, and their reports read."""
