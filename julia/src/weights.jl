"""
    load_weights(path) -> Dict{String,Array}

Read a safetensors file; arrays keep the names and the shapes that they have in Python:
`conv.weight` (filters, channels, height, width), `conv.bias` (filters), `dense.weight`
(classes, features), `dense.bias` (classes).
"""
load_weights(path) = SafeTensors.load_safetensors(path)

"""
    convolution_kernel(weight) -> Array

Turn a PyTorch kernel (filters, channels, height, width) into Flux's (width, height, channels,
filters).

Flux's `Conv` is a true convolution, which flips its kernel, and PyTorch's is a
cross-correlation, which does not: both spatial dimensions are reversed here, once.
"""
convolution_kernel(weight) = reverse(permutedims(weight, (4, 3, 2, 1)); dims=(1, 2))
