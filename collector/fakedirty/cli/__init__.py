"""The command `fakedirty`: what its subcommands share, and how it finds them."""
