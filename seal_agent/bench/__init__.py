"""Public benchmarks that anybody can run on their own machine, through the library's own door."""
