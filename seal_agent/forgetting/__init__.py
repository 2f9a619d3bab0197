"""Forgetting for good: what would go (`planning`), its removal from ledger, disk and weights (`erasing`), and the proof of it."""
