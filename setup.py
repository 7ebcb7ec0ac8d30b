"""Beside the modules, a wheel carries what they read at run time: see fakedirty/package_files.py."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CARRIED = ("probes", "guests", "qemu-patches", "dashboards/json")
ROOT = Path(__file__).parent


class BuildWithCarried(build_py):
    """build_py, and the directories that the package carries."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for name in CARRIED:
                shutil.copytree(ROOT / name, Path(self.build_lib, "fakedirty", name), dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithCarried})
