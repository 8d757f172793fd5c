"""Start Julia by hand, to see all that it says: python -m pipeline.flux."""

from pipeline.flux import julia

__all__: list[str] = []

if __name__ == "__main__":
    julia.resolve()
