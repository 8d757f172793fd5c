"""Schedulers by name: any of them can remove the noise of a model that was trained with another."""

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
"""The names that `--scheduler` takes, and their classes in diffusers, which it takes too."""

_SETTINGS = {"PNDMScheduler": {"skip_prk_steps": True}}
"""As in Stable Diffusion 1.5: with PRK steps, PNDM takes four steps at least."""


def check(name: str) -> None:
    """Raise `PipelineError` for an unknown name, before anything is loaded."""
    if name not in NAMES and name not in NAMES.values():
        raise _unknown(name, list(NAMES))


def replace(pipe: Any, name: str) -> None:
    """Give `pipe` the scheduler `name`, with the settings of its own.

    Raises `PipelineError` for an unknown name, or a scheduler that cannot replace the model's.
    """
    check(name)
    class_name = NAMES.get(name, name)
    scheduler = pipe.scheduler
    classes = {class_.__name__: class_ for class_ in (*scheduler.compatibles, type(scheduler))}
    if class_name not in classes:
        raise _unknown(name, [known for known, class_ in NAMES.items() if class_ in classes])
    settings = _SETTINGS.get(class_name, {})
    pipe.scheduler = classes[class_name].from_config(scheduler.config, **settings)


def _unknown(name: str, known: list[str]) -> PipelineError:
    expected = f"one of {', '.join(known)}" if known else "the model's own"
    return PipelineError(f"--scheduler {name}", expected, "change --scheduler")
