"""Records of traces, decoded into events of the model. Pure: bytes and answers in, events out."""
