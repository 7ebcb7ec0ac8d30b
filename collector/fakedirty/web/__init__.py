"""The web server: addresses, TLS, users and clients. It knows no metrics and no page; they give it routes."""
