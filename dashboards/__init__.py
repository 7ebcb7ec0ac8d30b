"""Grafana dashboards as code: ``python -m dashboards`` writes ``dashboards/json`` again, one file a module.

Panels are tables; a test holds the JSON that is checked in against them, another runs every query in a real Prometheus.
"""
