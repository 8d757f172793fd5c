"FluxScores on an NVIDIA GPU: loaded as soon as CUDA and cuDNN are."
module FluxScoresCUDAExt

using CUDA: CUDA
using cuDNN: cuDNN
using Flux: Flux
using FluxScores: FluxScores

function FluxScores.move(thing, ::Val{:cuda})
    CUDA.functional() || throw(ArgumentError("no GPU: CUDA.functional() is false"))
    # The default lets cuDNN round to TF32, which is up to 9e-4 off.
    CUDA.math_mode!(CUDA.PEDANTIC_MATH)
    return Flux.gpu_device(; force=true)(thing)  # an error, where `Flux.gpu` stays on the CPU
end

FluxScores.lies_on(array, ::Val{:cuda}) = array isa CUDA.AnyCuArray

# Not public; CUDA.jl's own `versioninfo` reads the preference by its package too.
FluxScores.waits_on_threads(::Val{:cuda}) =
    (isdefined(CUDA, :CUDACore) ? CUDA.CUDACore : CUDA).use_nonblocking_synchronization

FluxScores.synchronize(::Val{:cuda}) = CUDA.synchronize()

function FluxScores.reclaim(::Val{:cuda})
    GC.gc()
    return CUDA.reclaim()
end

end
