"""Compare the processor's speed and size with alternatives: `python -m benchmarks`, or `make bench`."""
