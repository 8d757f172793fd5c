"""Stable Diffusion: which model, its architectures, components, schedulers, one call.

Imports the base modules of `pipeline/` alone: it knows nothing of preprocessing, Flux, validation.
"""
