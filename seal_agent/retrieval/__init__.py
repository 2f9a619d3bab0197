"""By day: find what is relevant, and make a block for the prompt of it."""
