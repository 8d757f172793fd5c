"""The same cells on every node of a Ray cluster: chosen, sent, watched, and kept as they end.

It may use every other room but the grid and the history; only the command imports it.
"""
