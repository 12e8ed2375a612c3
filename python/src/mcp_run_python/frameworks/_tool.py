"""What the adapters share: the tool's name and description, and images for models."""

from __future__ import annotations

import base64

from mcp_run_python.code_sandbox import CodeSandbox
from mcp_run_python.results import SHOWN, TOOL, Image, Result

NAME = TOOL

CODE = 'Python code to run'


def description(sandbox: CodeSandbox) -> str:
    """Returns the tool's description, as a model reads it."""
    stay = 'stay' if sandbox.persistent else 'do not stay'
    return (
        'Tool to execute Python code and return stdout, stderr, and return value.\n\n'
        'The code may be async, and the value on the last line will be returned as the return value.\n\n'
        f'Variables {stay} from one call to the next. Packages that the code imports (numpy, pandas, matplotlib, ...) '
        'are installed by themselves: use no pip. There is no network, and there are no threads, processes or user '
        'input.'
    )


def images(result: Result) -> list[Image]:
    """Returns the images that a model can look at."""
    return [image for image in result.images if image.media_type in SHOWN]


def data_url(image: Image) -> str:
    """Returns the image as a `data:` URL."""
    return f'data:{image.media_type};base64,{base64.b64encode(image.data).decode()}'
