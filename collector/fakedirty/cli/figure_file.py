"""A figure that is drawn into a file which the command line names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fakedirty.errors import MissingError, UsageError


@contextmanager
def figure_errors(option: str, file: Path) -> Iterator[None]:
    """Turn the errors of drawing within the block into errors for the user.

    Args:
        option: The option that names the file, as it is spelled.
        file: The file.

    Raises:
        MissingError: A Python module for drawing is not installed.
        UsageError: The file cannot be drawn or written.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingError(f"{option} needs the Python module {error.name}, which is not installed") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot draw {file}: {error}") from error
