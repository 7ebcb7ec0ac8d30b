"""Prometheus metrics, read from the model at scrape time."""
