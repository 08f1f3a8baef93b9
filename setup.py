"""Builds what pyproject.toml can't say: the small model into the wheel, README without pictures."""

import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

MODEL = Path("checkpoints/fast")


class BuildWithModel(build_py):
    """Copies the model beside the samples; in an editable installation it is found where it is."""

    def run(self) -> None:
        """Builds the package, then adds the model."""
        super().run()
        if not self.editable_mode:
            box = Path(self.build_lib, "flax_glitch", "box", MODEL.name)
            shutil.rmtree(box, ignore_errors=True)
            shutil.copytree(MODEL, box)


def description() -> str:
    """Returns README without what only the repository has: pictures, and links to files."""
    text = Path("README.md").read_text(encoding="utf-8")
    text = re.sub(r"!\[[^]]*\]\((?!https?:)[^)]*\)\n*", "", text)
    return re.sub(r"\[([^]]*)\]\((?!https?:)[^)]*\)", r"\1", text)


setup(
    cmdclass={"build_py": BuildWithModel},
    long_description=description(),
    long_description_content_type="text/markdown",
)
