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

"""
    place(model, device) -> model

Take a model to `device`, and check that its weights lie there. Throws an `ArgumentError` where
they do not: Flux leaves them where they are, with a warning, if it finds no GPU to use.
"""
function place(model, device)
    placed = move(model, device)
    for weight in Flux.trainables(placed)
        if !lies_on(weight, Val(Symbol(device)))
            throw(ArgumentError("weights lie in $(typeof(weight)); expected them on $device"))
        end
    end
    return placed
end

"""
    lies_on(array, device) -> Bool

Say whether an array lies in the memory of `device`, `Val(:cpu)` or `Val(:cuda)`.
"""
lies_on(array, ::Val{:cpu}) = array isa Array || (parent(array) !== array && lies_on(parent(array), Val(:cpu)))

"""
    waits_on_threads(device) -> Bool

Say whether the library of `device` waits for it on threads of its own.
"""
waits_on_threads(device::AbstractString) = waits_on_threads(Val(Symbol(device)))
waits_on_threads(::Val{:cpu}) = false
