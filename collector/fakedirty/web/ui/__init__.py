"""The daemon's own page: migrations of this host in a browser, for where there is no Grafana."""
