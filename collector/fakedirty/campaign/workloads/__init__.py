"""What guests of a campaign do: the kinds of workload, and the throughput that they report."""
