"""Nodes that end in every way a node can end."""
