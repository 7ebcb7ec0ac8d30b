"""A figure that is drawn into a file which the command line names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fakedirty.errors import MissingError, UsageError
from fakedirty.record.output_checks import check_file

SUFFIXES = (".svg", ".png")


def check_figure(file: Path, option: str) -> None:
    """Check that a figure can be written to a file, whose suffix is its format.

    Args:
        file: The file.
        option: The option that names it, as it is spelled.

    Raises:
        UsageError: It cannot.
    """
    check_file(file, option)
    if file.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{option} {file}: give a name that ends in {' or '.join(SUFFIXES)}")


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
