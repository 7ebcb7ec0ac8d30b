"""A client of the guest, in a namespace of its own: the downtime as somebody sees it who talks to the guest."""
