"""The subcommands, one module each: their arguments, one call, the result as text or JSON."""
