"""Files in TOML that a person writes: read, checked by a model, and refused with file, line and key."""
