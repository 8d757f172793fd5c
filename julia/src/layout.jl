# Python's batch is NCHW in row-major (C) order: the last index, width, is the fastest. Julia's
# arrays are column-major: the first index is the fastest. The same memory, its dimensions
# reversed, is therefore WHCN, which is what Flux takes. Nothing is copied and nothing is
# permuted; scores (classes, N) go back the same way, as (N, classes).

"""
    wrap(address, dims) -> Array{Float32,4}

See the Float32 batch that Python holds at `address` as an array of `dims` (width, height,
channels, N). Python owns it, and keeps it while the call lasts.
"""
wrap(address, dims) = unsafe_wrap(Array, Ptr{Float32}(UInt(address)), dims)

"""
    scores_at(address, dims, device, model) -> Matrix{Float32}

Return the scores of a batch in Python's memory, as an array on the CPU.
"""
function scores_at(address, dims, device, model)
    return scores(model, wrap(address, dims), device)
end

"""
    timed_at(address, dims, device, model) -> (scores, seconds)

Time the model alone, as Julia sees it: the batch is on `device` before, and `device` has
finished after.
"""
function timed_at(address, dims, device, model)
    batch = move(wrap(address, dims), device)
    synchronize(device)
    seconds = @elapsed begin
        result = model(batch)
        synchronize(device)
    end
    return move(result, "cpu"), seconds
end

"""
    bridge_at(address, dims, classes) -> Matrix{Float32}

Take the batch and give scores back without a model: what crossing into Julia costs.
"""
function bridge_at(address, dims, classes)
    return zeros(Float32, classes, size(wrap(address, dims), 4))
end

"""
    allocated_at(address, dims, device, model) -> Int

Bytes that Julia allocates for one forward on a batch in Python's memory.
"""
function allocated_at(address, dims, device, model)
    scores_at(address, dims, device, model)  # compiled before it is counted
    return @allocated scores_at(address, dims, device, model)
end
