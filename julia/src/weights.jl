"""
    load_weights(path) -> Dict{String,Array}

Read a safetensors file; arrays keep the names and the shapes that they have in Python:
`conv.weight` (filters, channels, height, width), `conv.bias` (filters), `dense.weight`
(classes, features), `dense.bias` (classes).

Throws an `ArgumentError` for a file that is not whole.
"""
function load_weights(path)
    isfile(path) || throw(ArgumentError("weights $path: there is no such file"))
    try
        return SafeTensors.load_safetensors(path)
    catch error
        error isa InterruptException && rethrow()
        throw(ArgumentError("weights $path: not a whole safetensors file"))
    end
end

"""
    check_weights(weights)

Throw an `ArgumentError` that names the first array which is missing, unknown, not Float32, or
of a shape that does not fit.

```jldoctest
julia> FluxScores.check_weights(Dict("conv.bias" => zeros(Float32, 16)))
ERROR: ArgumentError: weights: no conv.weight; expected conv.weight, conv.bias, dense.weight, dense.bias
```
"""
function check_weights(weights)
    wrong(what) = throw(ArgumentError("weights: $what"))
    for name in NAMES
        haskey(weights, name) || wrong("no $name; expected $(join(NAMES, ", "))")
    end
    for (name, array) in weights
        name in NAMES || wrong("$name is not one of $(join(NAMES, ", "))")
        eltype(array) == Float32 || wrong("$name is $(eltype(array)); expected Float32")
    end
    sizes = Dict(name => size(weights[name]) for name in NAMES)
    filters, channels, classes = (
        get(sizes["conv.weight"], 1, 0),
        get(sizes["conv.weight"], 2, 0),
        get(sizes["dense.weight"], 1, 0),
    )
    expected = (
        "conv.weight" => (filters, channels, KERNEL, KERNEL),
        "conv.bias" => (filters,),
        "dense.weight" => (classes, filters * GRID * GRID),
        "dense.bias" => (classes,),
    )
    for (name, shape) in expected
        sizes[name] == shape || wrong("$name has size $(sizes[name]); expected $shape")
    end
end

"""
    convolution_kernel(weight) -> Array

Turn a PyTorch kernel (filters, channels, height, width) into Flux's (width, height, channels,
filters).

Flux's `Conv` is a true convolution, which flips its kernel, and PyTorch's is a
cross-correlation, which does not: both spatial dimensions are reversed here, once.

```jldoctest
julia> weight = reshape(Float32[1 2; 3 4], 1, 1, 2, 2);  # rows: height, columns: width

julia> FluxScores.convolution_kernel(weight)[:, :, 1, 1]
2×2 Matrix{Float32}:
 4.0  2.0
 3.0  1.0
```
"""
convolution_kernel(weight) = reverse(permutedims(weight, (4, 3, 2, 1)); dims=(1, 2))

const NAMES = ("conv.weight", "conv.bias", "dense.weight", "dense.bias")
