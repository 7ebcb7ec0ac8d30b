"""The laboratory: real guests, a shaped link, a migration, and the proof that memory is equal."""
