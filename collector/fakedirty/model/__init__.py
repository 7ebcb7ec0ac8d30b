"""The model of a migration: no input or output, and no imports but the standard library."""
