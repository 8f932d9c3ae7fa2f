"""Imported only while a node runs."""

VERSION = "as committed"
