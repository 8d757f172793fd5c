"""What pytest finds of this project in every repository: one option, which loads the plugin."""

from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--sd-flux-bench`; nothing else is there, or imported, without it."""
    parser.getgroup("sd-flux-bench").addoption(
        "--sd-flux-bench",
        action="store_true",
        help="give tests the fixture measure, and print tables of what they measured",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Load the plugin where it is asked for.

    Raises `pytest.UsageError` where a package of the repository hides one of this project.
    """
    if not early_config.known_args_namespace.sd_flux_bench:
        return
    for name in ("bench", "pipeline"):
        spec = find_spec(name)
        if spec is None or spec.origin is None or Path(spec.origin).resolve().parents[1] != HERE:
            raise pytest.UsageError(
                f"--sd-flux-bench: expected its own package {name}, which a package of this "
                "folder hides; start pytest as pytest, not as python -m pytest, or rename yours"
            )
    early_config.pluginmanager.import_plugin("bench.plugin")
