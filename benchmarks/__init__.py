"""Measurements that a person runs: `make bench`, `make gpu-check`."""
