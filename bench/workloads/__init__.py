"""What the families call: engines, pipelines and modes, inputs, peers, cold starts.

Imports `bench.measuring`, `bench.results` and `pipeline`; the families, the grid, the options and
the plugin import it.
"""
