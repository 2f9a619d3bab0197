"""Hosts: one file or folder each, installed as `seal_agent.integrations.*`. Importing this package imports no host."""
