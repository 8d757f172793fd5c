"""Bulk: many prompts or images through the same stages, in this process or on a Ray cluster.

`items` reads the input, `plan` says what is missing, `stages` holds the work, `local` and `cluster`
run it, `dataset` keeps the results, `report` says how it went. pyarrow and Ray are extras: `needs`
asks for them.

Imports the three stages, `pipeline.validation` and the base modules of `pipeline/`; only the
commands import it.
"""
