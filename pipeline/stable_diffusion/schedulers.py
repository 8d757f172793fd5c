"""Schedulers by name: how the noise of each step is taken away, without training again."""

from typing import Any

from pipeline.errors import PipelineError

__all__ = ["NAMES", "check", "replace"]

NAMES = {
    "ddim": "DDIMScheduler",
    "ddpm": "DDPMScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
    "dpm++-single": "DPMSolverSinglestepScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler-ancestral": "EulerAncestralDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "pndm": "PNDMScheduler",
    "unipc": "UniPCMultistepScheduler",
}
"""What `--scheduler` takes, and the class of diffusers, whose own name it takes too."""


_SETTINGS = {"PNDMScheduler": {"skip_prk_steps": True}}
"""As Stable Diffusion 1.5 has it; with them four steps are the fewest."""


def check(name: str) -> None:
    """Raise `PipelineError` for a name that is not known, before anything is loaded."""
    if name not in NAMES and name not in NAMES.values():
        raise _unknown(name, list(NAMES))


def replace(pipe: Any, name: str) -> None:
    """Give `pipe` the scheduler `name`, set up as its own is.

    Raises `PipelineError` for one that is not known, or that cannot stand in for the model's.
    """
    check(name)
    wanted = NAMES.get(name, name)
    compatible = {each.__name__: each for each in pipe.scheduler.compatibles}
    compatible[type(pipe.scheduler).__name__] = type(pipe.scheduler)
    if wanted not in compatible:
        raise _unknown(name, [known for known, class_ in NAMES.items() if class_ in compatible])
    pipe.scheduler = compatible[wanted].from_config(
        pipe.scheduler.config, **_SETTINGS.get(wanted, {})
    )


def _unknown(name: str, known: list[str]) -> PipelineError:
    expected = f"one of {', '.join(known)}" if known else "the model's own"
    return PipelineError(f"--scheduler {name}", expected, "change --scheduler")
