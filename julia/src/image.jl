"""
    load_image(path) -> Array{Float32,4}

Read one preprocessed PNG, gray or RGB, as a batch of one: (width, height, channels, 1), in
[0, 1].

JuliaImages gives a matrix of colours, rows first; its `channelview` is (channels, height,
width), or (height, width) for gray, and reversing the dimensions gives Flux's order. Throws an
`ArgumentError` for a file that is missing, not a PNG or of another size.
"""
function load_image(path)
    isfile(path) || throw(ArgumentError("image $path: there is no such file"))
    pixels = try
        PNGFiles.load(path)
    catch error
        error isa InterruptException && rethrow()
        throw(ArgumentError("image $path: not a whole PNG file"))
    end
    if size(pixels) != (SIDE, SIDE)
        height, width = size(pixels)
        throw(
            ArgumentError(
                "image $path: $(width)x$(height); expected $(SIDE)x$(SIDE): preprocess it first",
            ),
        )
    end
    gray = eltype(pixels) <: ImageCore.Gray
    colours = gray ? pixels : ImageCore.RGB.(pixels)
    planes = Float32.(ImageCore.channelview(colours))
    return reshape(permutedims(planes, ndims(planes):-1:1), SIDE, SIDE, gray ? 1 : 3, 1)
end
