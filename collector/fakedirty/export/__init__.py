"""Prometheus metrics, read from the model at scrape time, and the route that serves them."""
