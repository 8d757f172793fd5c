"""Schedulers by name: any of them can remove the noise of a model that was trained with another."""

from typing import Any

from pipeline.errors import PipelineError, one_line

__all__ = ["NAMES", "check", "check_steps", "replace", "replacement", "set_steps"]

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

MOST_STEPS = 1000
"""Training steps of a scheduler whose configuration does not say."""

_SETTINGS = {"PNDMScheduler": {"skip_prk_steps": True}}
"""As in Stable Diffusion 1.5: with PRK steps, PNDM takes four steps at least."""


def check(name: str) -> None:
    """Raise `PipelineError` for an unknown name, before anything is loaded."""
    if name not in NAMES and name not in NAMES.values():
        raise _unknown(name, list(NAMES))


def replace(pipe: Any, name: str) -> None:
    """Give `pipe` the scheduler `name`, with the settings of its own; raises as `replacement`."""
    pipe.scheduler = replacement(pipe.scheduler, name)


def replacement(scheduler: Any, name: str) -> Any:
    """Return the scheduler `name` with the settings of `scheduler`.

    Raises `PipelineError` for an unknown name, or one that cannot replace this scheduler.
    """
    check(name)
    class_name = NAMES.get(name, name)
    classes = {class_.__name__: class_ for class_ in (*scheduler.compatibles, type(scheduler))}
    if class_name not in classes:
        raise _unknown(name, [known for known, class_ in NAMES.items() if class_ in classes])
    return classes[class_name].from_config(scheduler.config, **_SETTINGS.get(class_name, {}))


def check_steps(scheduler: Any, steps: int) -> None:
    """Raise `PipelineError` where `scheduler` cannot take `steps`, with the nearest that it takes.

    It is tried on one number instead of latents: some fail on the last step alone, such as
    `DDIMScheduler` with 1000 of 1000 steps and an offset of 1.
    """
    most = int(getattr(scheduler.config, "num_train_timesteps", MOST_STEPS))
    error = _failure(scheduler, steps) if 1 <= steps <= most else None
    if error is None and 1 <= steps <= most:
        return
    name = type(scheduler).__name__
    limit = _nearest(scheduler, steps, most)
    if limit is None:
        error = error or _failure(scheduler, 1)
        expected = f"settings that {name} can run with ({one_line(error)})"
        remedy = "check scheduler_config.json, or choose another --scheduler"
        raise PipelineError("the scheduler", expected, remedy) from error
    bound, remedy = ("most", "fewer") if limit < steps else ("least", "more")
    expected = f"at {bound} {limit} with {name}"
    raise PipelineError(f"steps {steps}", expected, f"ask for {remedy} steps") from error


def set_steps(scheduler: Any, steps: int) -> None:
    """Let a scheduler spread its steps; one that shifts them by the size gets a middling shift."""
    shifts = {"mu": 0.8} if scheduler.config.get("use_dynamic_shifting") else {}
    scheduler.set_timesteps(steps, **shifts)


def _failure(scheduler: Any, steps: int) -> Exception | None:
    """Run all steps on one number; return what the scheduler raises, if it does."""
    import torch

    try:
        fresh = type(scheduler).from_config(scheduler.config)
        set_steps(fresh, steps)
        latents = torch.zeros(1, 1, 1, 1)
        for timestep in fresh.timesteps:
            if hasattr(fresh, "scale_model_input"):  # flow matching scales no input
                fresh.scale_model_input(latents, timestep)
            latents = fresh.step(torch.zeros(1, 1, 1, 1), timestep, latents, return_dict=False)[0]
    except Exception as error:  # a scheduler may raise anything
        return error
    return None


def _nearest(scheduler: Any, steps: int, most: int) -> int | None:
    """Return the number of steps nearest to `steps` that the scheduler takes, fewer before more."""
    top = min(steps, most)
    fewer = [min(steps - 1, most), top - 1, *(top >> shift for shift in range(1, 11))]
    more = [max(steps, 0) + (1 << shift) for shift in range(11)]
    for candidates, illegal in ((fewer, min(steps, most + 1)), (more, max(steps, 0))):
        for legal in dict.fromkeys(candidates):
            if not 1 <= legal <= most:
                continue
            if _failure(scheduler, legal) is not None:
                illegal = legal
                continue
            while abs(illegal - legal) > 1:
                middle = (legal + illegal) // 2
                if _failure(scheduler, middle) is None:
                    legal = middle
                else:
                    illegal = middle
            return legal
    return None


def _unknown(name: str, known: list[str]) -> PipelineError:
    expected = f"one of {', '.join(known)}" if known else "the model's own"
    return PipelineError(f"--scheduler {name}", expected, "change --scheduler")
