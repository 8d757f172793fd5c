"""Targets: the sizes and batches that exported components take, beside those of eager PyTorch.

Imports `pipeline.validation`, `pipeline.stable_diffusion` and the base modules of `pipeline/`; only
the commands import it.
"""
