"""Plans of fuzzed migrations: their parts, and how they are drawn from a seed."""
