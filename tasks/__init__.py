"""Prefect tasks: each a decorator on one call of the domain."""

import tasks.logs  # noqa: F401 - installs its filter
