"""The fuzzer: `make fuzz`. Coverage-guided by atheris, with seeds from the record builder and no files of its own."""
