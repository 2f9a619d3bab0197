"""Secrets and personal data: found where text is recorded, handled by policy, and never trained on."""
