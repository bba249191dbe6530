"""Runs studies: asks for trials, trains them, records and logs them."""
