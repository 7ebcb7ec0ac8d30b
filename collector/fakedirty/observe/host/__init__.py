"""The QEMU processes of this host, and what of the host stands in the way of observing them."""
