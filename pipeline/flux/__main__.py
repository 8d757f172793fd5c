"""Start Julia by hand, to see all that it says: python -m pipeline.flux."""

from pipeline.flux import julia

julia.resolve()
