"""
    FluxScores

Scores for preprocessed images: one convolution, then one dense layer, in Flux.

`load_weights` reads what Python wrote, `build` makes the model of it, `forward` runs it.
"""
module FluxScores

using Flux: Flux
using SafeTensors: SafeTensors

export build, forward, load_weights

include("weights.jl")
include("model.jl")

end
