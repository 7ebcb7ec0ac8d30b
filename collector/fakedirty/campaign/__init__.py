"""Campaigns: experiments that a file describes. Their runs have a drawn order, and each run is kept."""
