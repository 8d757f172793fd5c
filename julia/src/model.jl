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
        grid_mean,
        Flux.flatten,
        Flux.Dense(weights["dense.weight"], weights["dense.bias"]),
    )
end

"""
    grid_mean(maps) -> Array

Average maps (width, height, channels, N) over a $(GRID)×$(GRID) grid of tiles: what
`Flux.AdaptiveMeanPool` computes where the grid divides the sides, in a fifth of its time.
"""
function grid_mean(maps)
    width, height, channels, count = size(maps)
    side = (width ÷ GRID, height ÷ GRID)
    tiles = reshape(maps, side[1], GRID, side[2], GRID, channels, count)
    return dropdims(sum(tiles; dims=(1, 3)); dims=(1, 3)) ./ Float32(prod(side))
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
    symbol = Symbol(name)
    ours = symbol in (:include, :eval) || !isdefined(sandbox, symbol)
    if ours || which(sandbox, symbol) in (Base, Core, Flux)
        throw(ArgumentError("$path: it defines no function called $name"))
    end
    make = Base.invokelatest(getfield, sandbox, symbol)  # newer than this call: Julia 1.12
    return Base.invokelatest(make)
end

"""
    output_size(model, channels, count) -> Tuple

Return the size of the scores of `count` images, (classes, count), without computing them where
`Flux.outputsize` can follow the model, and else by running it on zeros.

Throws an `ArgumentError` for a model that gives anything else; what a model throws that wants
another input passes through.

```jldoctest
julia> using Flux

julia> output_size(Chain(GlobalMeanPool(), Flux.flatten, Dense(3 => 5)), 3, 2)
(5, 2)
```
"""
function output_size(model, channels, count)
    dims = (SIDE, SIDE, channels, count)
    scores_size = try
        Flux.outputsize(model, dims)
    catch error
        error isa InterruptException && rethrow()
        output = model(zeros(Float32, dims))
        output isa AbstractArray || throw(ArgumentError("the model gives $(kind(output))"))
        size(output)
    end
    if length(scores_size) != 2 || scores_size[2] != count
        throw(ArgumentError("the model gives size $scores_size; expected (classes, $count)"))
    end
    return scores_size
end

"""
    scoring_bytes(model, channels, count) -> Int

Return the bytes of a model and of the most activations that `count` images need at once: a layer's
input and its output. A model that is no `Chain`, or that `Flux.outputsize` cannot follow, is run on
zeros; then everything that it allocates counts, which is the most that it can need.
"""
function scoring_bytes(model, channels, count)
    dims = (SIDE, SIDE, channels, count)
    activations = try
        sizeof(Float32) * most_elements(model, dims)
    catch error
        error isa InterruptException && rethrow()
        images = zeros(Float32, dims)
        model(images)  # compiles
        sizeof(images) + @allocated model(images)
    end
    return Base.summarysize(model) + activations
end

function most_elements(model::Flux.Chain, dims)
    most = prod(dims)
    for layer in model
        output = Flux.outputsize(layer, dims)
        most = max(most, prod(dims) + prod(output))
        dims = output
    end
    return most
end

function kind(output)
    given = output isa Tuple ? "a tuple of $(length(output))" : "a $(typeof(output))"
    return "$given; expected one array"
end

"""
    scores(model, batch, device="cpu") -> Matrix{Float32}

Return the scores (classes, N) of a batch (width, height, channels, N), Float32 in [0, 1], as
an array on the CPU. The model is on `device`, the batch anywhere.
"""
scores(model, batch, device="cpu") = move(model(move(batch, device)), "cpu")
