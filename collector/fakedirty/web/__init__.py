"""The web server: addresses, TLS, users and clients. It imports no metrics and no page: they give it their routes."""
