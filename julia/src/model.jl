"Side of the convolution's kernel."
const KERNEL = 3

"Side of the grid that the convolution's output is averaged to."
const GRID = 7

"""
    build(weights) -> Flux.Chain

Build the network: convolution with ReLU, mean over a $(GRID)×$(GRID) grid, flatten, dense.

Flattening WHCN in Julia's column-major order gives the order of flattening NCHW in Python's
row-major order, so the dense layer's weight needs no change. Throws an `ArgumentError` for
weights that do not fit.
"""
function build(weights)
    check_weights(weights)
    kernel = convolution_kernel(weights["conv.weight"])
    return Flux.Chain(
        Flux.Conv(kernel, weights["conv.bias"], Flux.relu; pad=KERNEL ÷ 2),
        Flux.AdaptiveMeanPool((GRID, GRID)),
        Flux.flatten,
        Flux.Dense(weights["dense.weight"], weights["dense.bias"]),
    )
end

"""
    load_model(path, name) -> model

Include the Julia file `path` in a module of its own, and return what its function `name` gives:
a Flux model.

Throws an `ArgumentError` where the file or the function is missing; what the file itself
throws passes through.
"""
function load_model(path, name)
    isfile(path) || throw(ArgumentError("$path: there is no such file"))
    sandbox = Module(:UserModel)
    # what `module … end` would give it: a model may be written over several files
    Core.eval(sandbox, :(include(file) = Base.include($sandbox, file)))
    Core.eval(sandbox, :(eval(expression) = Core.eval($sandbox, expression)))
    Base.include(sandbox, abspath(path))
    if !isdefined(sandbox, Symbol(name))
        throw(ArgumentError("$path: it defines no function called $name"))
    end
    make = Base.invokelatest(getfield, sandbox, Symbol(name))  # newer than this call: Julia 1.12
    return Base.invokelatest(make)
end

"""
    output_size(model, channels, count) -> Tuple

Return the size of the scores of `count` images, (classes, count), without computing them.

Throws an `ArgumentError` for a model that gives another shape; what a model throws that wants
another input passes through.

```jldoctest
julia> using Flux

julia> output_size(Chain(GlobalMeanPool(), Flux.flatten, Dense(3 => 5)), 3, 2)
(5, 2)
```
"""
function output_size(model, channels, count)
    given = Flux.outputsize(model, (SIDE, SIDE, channels, count))
    if length(given) != 2 || given[2] != count
        throw(ArgumentError("the model gives size $given; expected (classes, $count)"))
    end
    return given
end

"""
    scores(model, batch, device="cpu") -> Matrix{Float32}

Return the scores (classes, N) of a batch (width, height, channels, N), Float32 in [0, 1], as
an array on the CPU. The model is on `device`, the batch anywhere.
"""
scores(model, batch, device="cpu") = move(model(move(batch, device)), "cpu")
