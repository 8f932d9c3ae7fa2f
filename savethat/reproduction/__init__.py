"""A recorded run made again: the environment it had."""
