"""Processes, sockets, namespaces and limits, as the kernel and ``/proc`` show them."""
