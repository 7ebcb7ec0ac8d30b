"""Guests with known page contents: built, started with a workload, and their reports read."""
