"""Install the simulated CUDA where `SIMULATED_CUDA` is set; Python imports this file first.

With the value `driver` a driver reports a device that torch cannot use.
"""

import os

if os.environ.get("SIMULATED_CUDA"):
    from simulated_cuda import installing

    installing.prepare(only_driver=os.environ["SIMULATED_CUDA"] == "driver")
