"""The command `fakedirty`."""
