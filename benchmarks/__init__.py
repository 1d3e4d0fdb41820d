"""Speed and size of the processor, side by side with the alternatives. `python -m benchmarks`, or `make bench`."""
