"""Experiments: each node in this package is one, and `savethat run NODE` runs it."""
