"""Preprocessing: decode, pixels, preprocess, stream, the resumable conversion."""
