# SPDX-License-Identifier: Apache-2.0
"""What all parts of an experiment have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Model"]


class Model(BaseModel):
    """Base of all parts of an experiment: frozen, strict, and no field is ever ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
