using FluxScores
using Flux: Flux
using Test

const FIXTURES = joinpath(@__DIR__, "..", "..", "fixtures", "flux")

"Correlate as PyTorch does, by definition: no flip, zero padding of one pixel."
function correlate(image, kernel, bias)
    filters, _, height, width = size(kernel)
    padded = zeros(Float32, size(image, 1) + 2, size(image, 2) + 2, size(image, 3))
    padded[2:(end - 1), 2:(end - 1), :] = image
    return [
        bias[f] + sum(
            kernel[f, c, v, u] * padded[x + u - 1, y + v - 1, c] for
            c in axes(image, 3), v in 1:height, u in 1:width
        ) for x in axes(image, 1), y in axes(image, 2), f in 1:filters
    ]
end

@testset "$name" for (name, channels) in (("rgb", 3), ("gray", 1))
    weights = load_weights(joinpath(FIXTURES, "$name.safetensors"))
    model = build(weights)

    @testset "weights keep the shapes that they have in Python" begin
        @test size(weights["conv.weight"]) == (16, channels, 3, 3)
        @test size(weights["dense.weight"]) == (10, 784)
    end

    @testset "the convolution correlates, as PyTorch's does" begin
        image = rand(Float32, 9, 6, channels)
        expected = correlate(image, weights["conv.weight"], weights["conv.bias"])
        linear = Flux.Conv(model[1].weight, model[1].bias; pad=1)
        @test linear(reshape(image, size(image)..., 1))[:, :, :, 1] ≈ expected atol = 1e-5
    end

    @testset "a batch of N images gives N columns of ten Float32 scores" begin
        @test Flux.outputsize(model, (224, 224, channels, 4)) == (10, 4)
        batch = rand(Float32, 224, 224, channels, 2)
        scores = forward(model, batch)
        @test scores isa Matrix{Float32}
        @test size(scores) == (10, 2)
        @test scores[:, 2] ≈ forward(model, batch[:, :, :, 2:2])[:, 1] atol = 1e-5
    end
end
