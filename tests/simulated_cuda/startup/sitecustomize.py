"""Install the simulated CUDA where `SIMULATED_CUDA` is set; Python imports this file first."""

import os

if os.environ.get("SIMULATED_CUDA"):
    from simulated_cuda import installing

    installing.prepare()
