"""The web page: the migrations of this host in a browser, for hosts without Grafana."""
