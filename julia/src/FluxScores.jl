"""
    FluxScores

Scores for preprocessed images: one convolution, then one dense layer, in Flux.

`load_weights` reads what Python wrote, `build` makes the model of it, `move` takes it to a
device, `scores` runs it. The functions that end in `_at` are the same for a batch that Python
holds in its own memory. Devices are "cpu" and, once CUDA and cuDNN are loaded, "cuda".
"""
module FluxScores

using Flux: Flux, NNlib
using ImageCore: ImageCore
using PNGFiles: PNGFiles
using SafeTensors: SafeTensors

export Buffered, build, load_image, load_model, load_weights, move
export output_size, place, scores, scoring_bytes

"Side of a preprocessed image in pixels."
const SIDE = 224

include("device.jl")
include("weights.jl")
include("model.jl")
include("buffered.jl")
include("image.jl")
include("layout.jl")

end
