"""Campaigns: experiments described in a file, run in a drawn order, and kept so that one can believe them."""
