"""The truth: everything that was recorded, learnt and decided, in one SQL database; all else can be rebuilt from it."""
