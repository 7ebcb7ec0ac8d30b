"""What an operator runs once per host: its configuration, and what keeps it going."""
