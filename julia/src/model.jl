"Side of the grid that the convolution's output is averaged to."
const GRID = 7

"""
    build(weights, device="cpu") -> Flux.Chain

Build the network on `device` ("cpu", or "cuda" once CUDA and cuDNN are loaded): convolution
with ReLU, mean over a $(GRID)×$(GRID) grid, flatten, dense.

Flattening WHCN in Julia's column-major order gives the order of flattening NCHW in Python's
row-major order, so the dense layer's weight needs no change.
"""
function build(weights, device="cpu")
    model = Flux.Chain(
        Flux.Conv(
            convolution_kernel(weights["conv.weight"]), weights["conv.bias"], Flux.relu; pad=1
        ),
        Flux.AdaptiveMeanPool((GRID, GRID)),
        Flux.flatten,
        Flux.Dense(weights["dense.weight"], weights["dense.bias"]),
    )
    return move(model, device)
end

"""
    forward(model, batch, device="cpu") -> Matrix{Float32}

Return the scores (classes, N) of a batch (width, height, channels, N), Float32 in [0, 1], as
an array on the CPU; on "cuda" the copy back waits for the device.
"""
forward(model, batch, device="cpu") = Flux.cpu(model(move(batch, device)))

move(thing, device) = device == "cuda" ? Flux.gpu(thing) : thing
