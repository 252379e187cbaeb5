"""What Python runs first in the processes that tests start: pandas, which `make run` does not install, is not there.
Nor does DuckDB import it then, which takes a third of a second, at the first value of a query.

Garbage is looked for each 50,000 objects, as in processes of ours: the hundred that import Prefect make millions.
"""

import gc
import sys
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any


class WithoutPandas(PathFinder):
    """Finds what there is on the path, but pandas."""

    @classmethod
    def find_spec(cls, fullname: str, *where: Any) -> ModuleSpec | None:
        """Where a module is."""
        return None if fullname == "pandas" else super().find_spec(fullname, *where)


sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutPandas
gc.set_threshold(50_000)
