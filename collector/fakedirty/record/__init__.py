"""Recordings: the directory of each migration is written atomically and read as pandas frames."""
