"""Preprocessing: image files and images in memory become float32 batches, or PNG files.

`decoding` (file to RGB) and `pixels` (image, array or tensor to `(C, H, W)`) stand below
`preprocess` (one batch), `streaming` (many batches, by threads) and `conversion` (files to files).
Imports nothing above `pipeline`'s base modules, and no other room.
"""
