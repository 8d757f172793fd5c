"""Stable Diffusion: which model, its architectures, components, schedulers, one call."""
