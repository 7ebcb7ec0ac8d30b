"""Random migrations: drawn from a seed, carried out, and every page and every count checked after each."""
