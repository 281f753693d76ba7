"""Names for Arrow's arrays and functions whose types are known only at run time."""

from __future__ import annotations

from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute

Array: TypeAlias = "pa.Array[Any]"

# The stubs give one overload per type and reject an array of any type.
compute: Any = pyarrow.compute
