"FluxScores on an NVIDIA GPU: loaded as soon as CUDA and cuDNN are."
module FluxScoresCUDAExt

using CUDA: CUDA, CuArray, CuPtr
using cuDNN: cuDNN
using Flux: Flux
using FluxScores: FluxScores

function FluxScores.move(thing, ::Val{:cuda})
    CUDA.functional() || throw(ArgumentError("no GPU: CUDA.functional() is false"))
    return Flux.gpu(thing)
end

FluxScores.synchronize(::Val{:cuda}) = CUDA.synchronize()

function FluxScores.reclaim(::Val{:cuda})
    GC.gc()
    return CUDA.reclaim()
end

function FluxScores.wrap(address, dims, ::Val{:cuda})
    return unsafe_wrap(CuArray, CuPtr{Float32}(UInt(address)), dims)
end

end
