"""Benchmarks, run manually: `make bench`, `make gpu-check`."""
