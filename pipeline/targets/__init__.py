"""Targets: the sizes and batches that exported components take, beside those of eager PyTorch.

Imports `pipeline.validation` and the rooms below it; only the commands import it.
"""
