# Print the scores of one preprocessed image, without Python:
#
#     julia --project=julia julia/flux_model.jl preprocessed_image_1.png [--gpu]

using FluxScores

const WEIGHTS = joinpath(@__DIR__, "..", "fixtures", "flux")
const ADD_CUDA = "julia -e 'using Pkg; Pkg.add([\"CUDA\", \"cuDNN\"])'"

function main(arguments)
    gpu = "--gpu" in arguments
    paths = filter(!=("--gpu"), arguments)
    if length(paths) != 1 || startswith(only(paths), "-")
        throw(ArgumentError("expected one image and perhaps --gpu; given: $(join(arguments, ' '))"))
    end
    batch = load_image(only(paths))
    device = gpu ? cuda() : "cpu"
    weights = load_weights(
        joinpath(WEIGHTS, size(batch, 3) == 1 ? "gray.safetensors" : "rgb.safetensors")
    )
    model = move(build(weights), device)
    for (class, score) in enumerate(Base.invokelatest(scores, model, batch, device))
        println(class - 1, ": ", round(score; digits=4))
    end
end

"Load CUDA and cuDNN from the default environment, which stays on the load path."
function cuda()
    if isnothing(Base.find_package("CUDA")) || isnothing(Base.find_package("cuDNN"))
        throw(ArgumentError("--gpu needs CUDA and cuDNN; add them with: $ADD_CUDA"))
    end
    @eval Main using CUDA: CUDA
    @eval Main using cuDNN: cuDNN
    if !Base.invokelatest(Main.CUDA.functional)
        throw(ArgumentError("--gpu needs an NVIDIA GPU and its driver; CUDA.jl finds none"))
    end
    return "cuda"
end

try
    main(ARGS)
catch error
    error isa ArgumentError || rethrow()
    println(stderr, error.msg)
    exit(2)
end
