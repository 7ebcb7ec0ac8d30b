"""A recorded migration played again, page by page, with other settings."""
