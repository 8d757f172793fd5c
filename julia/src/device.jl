"""
    move(thing, device)

Take a model or an array to `device`: "cpu" or "cuda". What is there already is not copied.
"""
move(thing, device::AbstractString) = move(thing, Val(Symbol(device)))
move(thing, ::Val{:cpu}) = Flux.cpu(thing)

"""
    synchronize(device)

Wait until `device` has done its work.
"""
synchronize(device::AbstractString) = synchronize(Val(Symbol(device)))
synchronize(::Val{:cpu}) = nothing

"""
    reclaim(device)

Give memory that nothing refers to back to `device`.
"""
reclaim(device::AbstractString) = reclaim(Val(Symbol(device)))
reclaim(::Val{:cpu}) = GC.gc()
