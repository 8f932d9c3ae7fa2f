"""A module that cannot be imported: it must hide nobody else's nodes."""

raise ImportError("this module is broken on purpose")
