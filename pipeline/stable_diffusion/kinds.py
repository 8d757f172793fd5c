"""Kinds of pipelines: the class that draws from a prompt alone, and which settings it takes."""

import logging
from inspect import signature
from typing import Any

from pipeline.errors import PipelineError
from pipeline.stable_diffusion import components
from pipeline.stable_diffusion.collector import paused

__all__ = ["ignores", "is_left_out", "text_to_image"]

_NOT_TEXT_TO_IMAGE = {"image", "mask_image", "video", "num_frames", "video_length"}
"""Arguments of pipelines that draw from more than a prompt, or no picture."""

logger = logging.getLogger(__name__)


@paused()
def text_to_image(name: str, kind: Any) -> Any:
    """Return the class that draws from a prompt alone, for an index that names the class `kind`.

    A pipeline that edits images has the components of one that draws them, which diffusers'
    AutoPipelineForText2Image knows. None where diffusers has no such class, or lacks what it needs.
    Raises `PipelineError` for one of the model `name` that needs more than a prompt, or draws none.
    """
    import diffusers

    components.quiet()
    pipeline = getattr(diffusers, kind, None) if isinstance(kind, str) else None
    if pipeline is None or "dummy" in pipeline.__module__:
        return None
    fault = _fault(pipeline)
    if not fault:
        return pipeline
    from diffusers.pipelines import auto_pipeline  # it imports every pipeline, which takes seconds

    drawing = auto_pipeline.AUTO_TEXT2IMAGE_PIPELINES_MAPPING
    linked = auto_pipeline._get_task_class(drawing, kind, throw_error_if_not_exist=False)
    chosen = linked or pipeline
    edits_one_if_given = linked is not None and _surplus(linked) == ["image"]
    if edits_one_if_given or not _fault(chosen):
        return chosen
    expected = f"a text-to-image pipeline, not {kind}, which {fault}"
    raise PipelineError(f"--sd-model {name}", expected, "choose another model")


def _fault(pipeline: Any) -> str:
    """Return why a class cannot draw from a prompt alone; empty where it can."""
    surplus = _surplus(pipeline)
    taken = signature(pipeline.__call__).parameters
    lacking = [name for name in ("prompt", "num_inference_steps", "width") if name not in taken]
    if surplus:
        return f"takes {surplus[0]}"
    return f"takes no {lacking[0]}" if lacking else ""


def _surplus(pipeline: Any) -> list[str]:
    taken = signature(pipeline.__call__).parameters
    return [name for name in taken if name in _NOT_TEXT_TO_IMAGE or name.startswith("control")]


def ignores(kind: type, setting: str, pipe: Any = None) -> bool:
    """Say whether a pipeline has no use for this argument; `pipe` is None where it is not loaded.

    FLUX.1 and its like have guidance inside their transformer, a schnell has none. They use a
    negative prompt only with a second, true guidance, which is off by default.
    """
    taken = signature(kind.__call__).parameters
    if setting not in taken or "true_cfg_scale" not in taken:
        return setting not in taken
    if setting == "negative_prompt":
        return bool(taken["true_cfg_scale"].default <= 1)
    own = getattr(getattr(pipe, "transformer", None), "config", {})
    return setting == "guidance_scale" and own.get("guidance_embeds") is False


def is_left_out(kind: type, setting: str, pipe: Any = None) -> bool:
    """Say whether a setting is left out because the pipeline `ignores` it; then also warn."""
    if not ignores(kind, setting, pipe):
        return False
    words = setting.removesuffix("_scale").replace("_", " ")
    logger.warning("%s takes no %s: it is left out", kind.__name__, words)
    return True
