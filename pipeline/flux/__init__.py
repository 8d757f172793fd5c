"""The network that scores images: the bridge to Julia, Flux.jl, weights, the PyTorch reference.

Imports the base modules of `pipeline/` alone: it knows nothing of the other two stages.
"""
