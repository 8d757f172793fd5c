"""The pipeline that is measured: prompt → images → batch → scores. Import it, deploy it.

Importing this package loads neither torch nor Julia: each function imports what it needs when it
is called. Where `forward` is used, call `julia.start()` before torch is imported.
"""

from pipeline.diffusion import generate
from pipeline.errors import ContractError, PipelineError, UnavailableError
from pipeline.flux import forward
from pipeline.preprocessing import Settings, preprocess
from pipeline.streaming import stream

__all__ = [
    "ContractError",
    "PipelineError",
    "Settings",
    "UnavailableError",
    "forward",
    "generate",
    "preprocess",
    "stream",
]
