"""Sets up data source, folder and dashboards of a running Grafana; sends it annotations of migrations and toggles."""
