"""Decoders: records of a trace in, events of the model out. All of them are pure."""
