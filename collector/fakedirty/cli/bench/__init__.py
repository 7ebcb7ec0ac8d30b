"""``fakedirty bench``: the claims about the patch series, measured side by side."""

from .command import EPILOG, HELP, NAME, add_arguments, run

__all__ = ["EPILOG", "HELP", "NAME", "add_arguments", "run"]
