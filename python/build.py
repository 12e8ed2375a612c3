"""Build hook: puts the program and the files that it needs into the wheel, which makes the wheel platform-specific."""

import os
import platform
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface[Any]):
    """The hook; Hatchling finds it by its base class."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the folder `MCP_RUN_PYTHON_HOME`, or else `target/home`, which `cargo xtask build` makes.

        Raises:
            FileNotFoundError: The folder has no program in it.
        """
        home = Path(os.environ.get('MCP_RUN_PYTHON_HOME') or Path(self.root) / '../target/home').resolve()
        if version == 'editable':
            return
        if not (home / 'mcp-run-python').is_file():
            raise FileNotFoundError(f'there is no program in {home}: `cargo xtask build` makes it')
        build_data['force_include'][str(home)] = 'mcp_run_python/home'
        machine = platform.machine()
        # On Linux: the oldest glibc that the program and workerd run on (2.34).
        system = f'macosx_13_0_{machine}' if sys.platform == 'darwin' else f'manylinux_2_34_{machine}'
        build_data['pure_python'] = False
        build_data['tag'] = f'py3-none-{system}'
