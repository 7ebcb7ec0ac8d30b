"""The HTTP server of metrics and of the web page: requests, TLS and users."""
