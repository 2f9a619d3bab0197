"""Implementations of the `Model` protocol, and where weights come from."""
