# julia --project=julia -e 'using Pkg; Pkg.test()'

using Documenter: DocMeta, doctest
using FluxScores
using Flux: Flux
using PNGFiles: PNGFiles
using Test

const FIXTURES = joinpath(@__DIR__, "..", "..", "fixtures")
const SCRIPT = joinpath(@__DIR__, "..", "flux_model.jl")

weights_of(name) = load_weights(joinpath(FIXTURES, "flux", "$name.safetensors"))

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

# A device that Flux cannot use: it leaves everything where it is, as `Flux.gpu` may.
FluxScores.move(thing, ::Val{:elsewhere}) = thing
FluxScores.lies_on(array, ::Val{:elsewhere}) = false

"Run the stand-alone script; return its exit code, output and complaint."
function script(arguments...)
    out, err = IOBuffer(), IOBuffer()
    command = `$(Base.julia_cmd()) --project=$(Base.active_project()) $SCRIPT $(collect(arguments))`
    process = run(pipeline(ignorestatus(command); stdout=out, stderr=err))
    return process.exitcode, String(take!(out)), String(take!(err))
end

message_of(action) =
    try
        action()
        "nothing was thrown"
    catch error
        error isa ArgumentError ? error.msg : rethrow()
    end

@testset "FluxScores" begin
    @testset "$name" for (name, channels) in (("rgb", 3), ("gray", 1))
        weights = weights_of(name)
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
            @test output_size(model, channels, 4) == (10, 4)
            batch = rand(Float32, 224, 224, channels, 2)
            result = scores(model, batch)
            @test result isa Matrix{Float32}
            @test size(result) == (10, 2)
            @test result[:, 2] ≈ scores(model, batch[:, :, :, 2:2])[:, 1] atol = 1e-5
        end

        @testset "the mean over the grid is Flux's own" begin
            maps = rand(Float32, 224, 224, 16, 2)
            expected = Flux.AdaptiveMeanPool((7, 7))(maps)
            @test FluxScores.grid_mean(maps) ≈ expected atol = 1e-5
        end

        @testset "buffers that are kept change no score" begin
            kept = Buffered(model)
            for count in (3, 1)
                batch = rand(Float32, 224, 224, channels, count)
                @test kept(batch) ≈ model(batch) atol = 1e-5
                @test kept(batch) == kept(batch)
            end
        end

        @testset "a batch in another's memory is read in place" begin
            batch = rand(Float32, 224, 224, channels, 2)
            address, dims = UInt(pointer(batch)), size(batch)
            GC.@preserve batch begin
                @test pointer(FluxScores.wrap(address, dims)) == pointer(batch)
                @test FluxScores.scores_at(address, dims, "cpu", model) ==
                    scores(model, batch)
                result, seconds = FluxScores.timed_at(address, dims, "cpu", model)
                @test result == scores(model, batch)
                @test seconds > 0
                @test size(FluxScores.bridge_at(address, dims, 10)) == (10, 2)
                ours = FluxScores.allocated_at(address, dims, "cpu", model)
                scores(model, batch)
                theirs = @allocated scores(model, batch)
                @test ours <= theirs + 1024  # the array's header, not its pixels
            end
        end
    end

    @testset "weights that do not fit are named" begin
        good = weights_of("rgb")
        without = filter(pair -> pair.first != "dense.bias", good)
        names = "conv.weight, conv.bias, dense.weight, dense.bias"
        @test message_of(() -> build(without)) == "weights: no dense.bias; expected $names"
        extra = merge(good, Dict("more" => zeros(Float32, 1)))
        @test message_of(() -> build(extra)) == "weights: more is not one of $names"
        for (array, what) in (
            zeros(16) => "is Float64; expected Float32",
            zeros(Float16, 16) => "is Float16; expected Float32",
            zeros(Float32, 15) => "has size (15,); expected (16,)",
        )
            other = merge(good, Dict("conv.bias" => array))
            @test message_of(() -> build(other)) == "weights: conv.bias $what"
        end
        for (name, array, expected) in (
            ("conv.weight", zeros(Float32, 16, 3, 5, 5), (16, 3, 3, 3)),
            ("dense.weight", zeros(Float32, 10, 783), (10, 784)),
        )
            other = merge(good, Dict(name => array))
            @test message_of(() -> build(other)) ==
                "weights: $name has size $(size(array)); expected $expected"
        end
        mktempdir() do folder
            for name in ("empty", "text")
                path = joinpath(folder, "$name.safetensors")
                write(path, name == "text" ? "no weights" : "")
                @test message_of(() -> load_weights(path)) ==
                    "weights $path: not a whole safetensors file"
            end
            path = joinpath(folder, "cut.safetensors")
            whole = read(joinpath(FIXTURES, "flux", "rgb.safetensors"))
            write(path, whole[1:1000])
            @test message_of(() -> load_weights(path)) ==
                "weights $path: not a whole safetensors file"
            @test message_of(() -> load_weights("absent")) ==
                "weights absent: there is no such file"
        end
    end

    @testset "a user's model is loaded and its shape is checked" begin
        mktempdir() do folder
            path = joinpath(folder, "mine.jl")
            write(joinpath(folder, "part.jl"), "const CLASSES = 5")
            write(
                path,
                """
                using Flux
                include("part.jl")
                model() = Chain(GlobalMeanPool(), Flux.flatten, Dense(3 => CLASSES))
                wide() = Chain(GlobalMeanPool())
                two() = images -> (images, images)
                smooth() = Chain(Upsample(:bilinear; size=(8, 8)), GlobalMeanPool(), Flux.flatten)
                """,
            )
            @test Base.invokelatest(output_size, load_model(path, "model"), 3, 2) == (5, 2)
            @test message_of(() -> output_size(load_model(path, "wide"), 3, 2)) ==
                "the model gives size (1, 1, 3, 2); expected (classes, 2)"
            two = load_model(path, "two")
            @test message_of(() -> Base.invokelatest(output_size, two, 3, 2)) ==
                "the model gives a tuple of 2; expected one array"
            @test Base.invokelatest(output_size, load_model(path, "smooth"), 3, 2) == (3, 2)
            small = load_model(path, "model")
            images = 4 * 224 * 224 * 3 * 2
            @test Base.invokelatest(scoring_bytes, small, 3, 2) ==
                Base.summarysize(small) + images + 4 * 3 * 2
            followed_by_running = load_model(path, "smooth")
            @test Base.invokelatest(scoring_bytes, followed_by_running, 3, 2) > images
            for name in ("one", "Chain", "include")  # what Julia and Flux call so
                @test message_of(() -> load_model(path, name)) ==
                    "$path: it defines no function called $name"
            end
            @test_throws DimensionMismatch output_size(load_model(path, "model"), 1, 2)
            @test message_of(() -> load_model(path, "absent")) ==
                "$path: it defines no function called absent"
            @test message_of(() -> load_model("absent.jl", "model")) ==
                "absent.jl: there is no such file"
        end
    end

    @testset "weights that stay behind are refused" begin
        model = build(weights_of("rgb"))
        @test place(model, "cpu") === model
        @test message_of(() -> place(model, "elsewhere")) ==
            "weights lie in Array{Float32, 4}; expected them on elsewhere"
    end

    @testset "the script prints ten scores, or one line" begin
        mktempdir() do folder
            image = joinpath(folder, "image.png")
            PNGFiles.save(image, rand(FluxScores.ImageCore.RGB{FluxScores.ImageCore.N0f8}, 224, 224))
            code, out, err = script(image)
            @test (code, err) == (0, "")
            expected = scores(build(weights_of("rgb")), load_image(image))
            @test out == join(("$(i - 1): $(round(expected[i]; digits=4))\n" for i in 1:10))

            small = joinpath(folder, "small.png")
            PNGFiles.save(small, rand(FluxScores.ImageCore.Gray{FluxScores.ImageCore.N0f8}, 8, 9))
            @test script(small) ==
                (2, "", "image $small: 9x8; expected 224x224: preprocess it first\n")
            @test script("absent.png") == (2, "", "image absent.png: there is no such file\n")
            @test script() == (2, "", "expected one image and perhaps --gpu; given: \n")
            code, out, err = script(image, "--gpu")
            if code != 0  # a machine without CUDA.jl or without a GPU
                @test (code, out) == (2, "")
                @test startswith(err, "--gpu needs ")
            end
        end
    end
end

DocMeta.setdocmeta!(FluxScores, :DocTestSetup, :(using FluxScores); recursive=true)
doctest(FluxScores; manual=false)
