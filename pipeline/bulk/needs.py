"""What bulk runs need beside the pipeline: pyarrow, and Ray on a cluster."""

from importlib.util import find_spec

from pipeline.errors import PipelineError

__all__ = ["require_cluster", "require_tables"]


def require_tables(given: str) -> None:
    """Raise `PipelineError` for what the user typed where pyarrow is not installed."""
    if find_spec("pyarrow") is None:
        raise PipelineError(given, "pyarrow, which is not installed", 'pip install -e ".[bulk]"')


def require_cluster(given: str) -> None:
    """Raise `PipelineError` for what the user typed where Ray is not installed."""
    if find_spec("ray") is None:
        raise PipelineError(given, "Ray, which is not installed", 'pip install -e ".[cluster]"')
