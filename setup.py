"""What a wheel takes along that a checkout has beside its packages: pictures, weights, Julia."""

import json
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
FILES = ("fixtures/flux", "fixtures/images", "fixtures/tiny-sd", "julia")


class Build(build_py):
    """Copy the packages, and into `pipeline` the folders that it reads."""

    def run(self) -> None:
        """Build; an editable installation reads the checkout's own folders."""
        super().run()
        if self.editable_mode:
            return
        package = Path(self.build_lib) / "pipeline"
        for name in FILES:
            unused = shutil.ignore_patterns("Manifest.toml", "test")
            shutil.copytree(ROOT / name, package / name, ignore=unused, dirs_exist_ok=True)
        needs = json.loads((package / "juliapkg.json").read_text(encoding="utf-8"))
        needs["packages"]["FluxScores"]["path"] = "julia"  # not ../julia, as in a checkout
        (package / "juliapkg.json").write_text(json.dumps(needs, indent=4), encoding="utf-8")


setup(cmdclass={"build_py": Build})
