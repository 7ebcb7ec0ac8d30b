"""The model of a migration: pure, of the standard library alone."""
