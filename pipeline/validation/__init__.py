"""Validation: the walk on the meta device, its tally, the answers and their table.

Imports the three stages and the base modules of `pipeline/`; the commands, `pipeline.bulk`,
`pipeline.targets` and `bench` import it.
"""
