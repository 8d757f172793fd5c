"""
    Buffered(model)

The network of `build` with buffers that are kept from call to call, on the CPU: the same scores
as the `Chain`, to rounding. Batches go through it one image at a time, so that what a layer
writes is still in the cache when the next one reads it. Not for several threads at once.
"""
struct Buffered
    kernel::Array{Float32,5}
    bias::Vector{Float32}
    dense::Flux.Dense
    columns::Array{Float32,3}
    maps::Array{Float32,5}
    dims::NNlib.DenseConvDims
end

function Buffered(model::Flux.Chain)
    conv, dense = model[1], model[end]
    width, height, channels, filters = size(conv.weight)
    kernel = reshape(conv.weight, width, height, 1, channels, filters)
    # NNlib's two-dimensional convolution is its three-dimensional one of depth 1.
    image = (SIDE, SIDE, 1, channels, 1)
    dims = NNlib.DenseConvDims(
        image, size(kernel); padding=(KERNEL ÷ 2, KERNEL ÷ 2, KERNEL ÷ 2, KERNEL ÷ 2, 0, 0)
    )
    columns = Array{Float32}(undef, SIDE * SIDE, KERNEL^2 * channels, 1)
    maps = Array{Float32}(undef, SIDE, SIDE, 1, filters, 1)
    return Buffered(kernel, conv.bias, dense, columns, maps, dims)
end

function (model::Buffered)(batch::Array{Float32,4})
    width, height, channels, count = size(batch)
    filters = length(model.bias)
    means = Array{Float32}(undef, GRID, GRID, filters, count)
    images = reshape(batch, width, height, 1, channels, count)
    for i in 1:count
        image = view(images, :, :, :, :, i:i)
        NNlib.conv_im2col!(model.maps, image, model.kernel, model.dims; col=model.columns)
        grid_mean_relu!(view(means, :, :, :, i), model.maps, model.bias)
    end
    return model.dense(reshape(means, :, count))
end

"Write the mean over each tile of the grid of `relu(maps + bias)`."
function grid_mean_relu!(means, maps, bias)
    width, height = size(maps, 1) ÷ GRID, size(maps, 2) ÷ GRID
    @inbounds for f in axes(means, 3), row in 1:GRID, column in 1:GRID
        total = 0.0f0
        for y in ((row - 1) * height + 1):(row * height)
            @simd for x in ((column - 1) * width + 1):(column * width)
                total += max(maps[x, y, 1, f, 1] + bias[f], 0.0f0)
            end
        end
        means[column, row, f] = total / (width * height)
    end
    return means
end
