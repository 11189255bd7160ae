"""How fast it is: `python -m benchmarks`, or one of `storm`, `runs` and `api`."""
