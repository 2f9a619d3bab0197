"""Implementations of the `Trainer` protocol."""
