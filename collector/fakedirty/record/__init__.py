"""One migration is one directory: written atomically, read back as pandas frames."""
