"""Campaigns: experiments of many runs in an order drawn from a seed, their statistics and their report."""
