"""How the pipeline is measured: a pytest-driven benchmark and validation harness."""
