"""The Flux engines with a real Julia: what they return, and what their contract says."""

from typing import Any

import torch

from bench.workloads import engines
from pipeline.flux import julia

answer: dict[str, Any] = {}
images = torch.rand((8, 3, 224, 224), generator=torch.Generator().manual_seed(0))
for threads, count in ((2, 1), (1, 8)):
    torch.set_num_threads(threads)
    batch = images[:count]
    for name in ("flux", "flux-inside", "flux-buffered", "flux-bridge"):
        with engines.ready(name, "cpu", batch) as engine:
            output = engine.call(batch)
            off = (output[0] + 1e-3, output[1]) if engine.inside else output + 1e-3
            answer[f"{name}, batch {count}"] = {
                "held": [str(violation) for violation in engine.check(output, batch)],
                "off": [str(violation) for violation in engine.check(off, batch)],
                "seconds": engine.inside(output) if engine.inside else None,
                "extra": engine.extra(batch),
                "blas": julia.blas_threads() - threads,
            }
