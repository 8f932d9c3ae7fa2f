"""Carries one run out: the supervisor owns the run, the child runs the user's code."""
