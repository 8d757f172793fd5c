"""The plugin of this checkout; another repository asks for it with `--sd-flux-bench`."""

pytest_plugins = ["bench.plugin"]
