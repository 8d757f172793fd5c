"""The network that scores images: the bridge to Julia, Flux.jl, weights, the PyTorch reference."""
