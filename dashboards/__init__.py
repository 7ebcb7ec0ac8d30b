"""Grafana dashboards as code: ``python -m dashboards`` writes ``dashboards/json``, a file for each dashboard.

Each dashboard is a table of panels. One test compares the JSON that is checked in with it; another runs every query in
a real Prometheus.
"""
