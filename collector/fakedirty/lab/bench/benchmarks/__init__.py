"""The benchmarks: for each its settings, its jobs, and the tables of its results."""
