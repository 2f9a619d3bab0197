"""Adapter artefacts on disk: publish, verify before load."""
