"""The pipeline that is measured: prompt → images → batch → scores. Import it, deploy it.

Importing this package loads neither torch nor Julia: each function imports what it needs when it
is called. Before `forward`, call `pipeline.flux.julia.start()`, and do so before torch is imported.
"""

from pipeline.errors import ContractError, PipelineError, UnavailableError
from pipeline.flux.forward import forward
from pipeline.preprocessing.preprocess import Settings, preprocess
from pipeline.preprocessing.streaming import stream
from pipeline.stable_diffusion.diffusion import generate

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
