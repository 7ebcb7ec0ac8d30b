"""Benchmarks: what is measured, side by side, and in which order."""
