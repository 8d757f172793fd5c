"""Reporting: what a run and a comparison say, as tables, Markdown, charts and one HTML page.

Imports `bench.comparing`, `bench.results`, `bench.machine`, `bench.statistics` and `pipeline`; the
command, the plugin and `bench.history` import it.
"""
