# A copy of how CUDA.jl waits for a GPU by default (`lib/cudadrv/synchronization.jl`), without one: a
# thread that libuv starts runs Julia code, which takes a request, blocks, and answers.

const REQUESTS, ANSWERS = Channel{Int}(1), Channel{Int}(1)

function worker(data)
    while true
        request = take!(REQUESTS)
        @ccall usleep(200::Cuint)::Cint
        put!(ANSWERS, request)
    end
end

let thread = Ref{NTuple{32,UInt8}}(ntuple(i -> 0x00, 32))
    start = @cfunction(worker, Cvoid, (Ptr{Cvoid},))
    code = @ccall uv_thread_create(thread::Ptr{Cvoid}, start::Ptr{Cvoid}, C_NULL::Ptr{Cvoid})::Cint
    code == 0 || error("uv_thread_create: $code")
end

for request in 1:200
    put!(REQUESTS, request)
    [rand(1000) for _ in 1:50]
    GC.gc(false)
    take!(ANSWERS) == request || error("another answer")
end
