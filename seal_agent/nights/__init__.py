"""Nights: when scopes learn by themselves. `facade.py` is what `Memory.nights` returns."""
