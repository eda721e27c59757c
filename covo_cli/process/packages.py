"""Check optional packages before a command begins its work."""

from __future__ import annotations

from importlib.util import find_spec

from covo_cli.errors import CliError
from voices.installation import add_extra


def require_packages(extra: str, *modules: str) -> None:
    """Check that ``modules`` are installed, without importing them.

    ``extra``: the extra of covo that installs them. Raises: CliError.
    """
    missing = [name.replace("_", "-") for name in modules if find_spec(name) is None]
    if missing:
        raise CliError(f"this needs {', '.join(missing)}: {add_extra(extra)}")
