# SPDX-License-Identifier: Apache-2.0
"""The base class of all models of an experiment file."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Model"]


class Model(BaseModel):
    """The base class of all parts of an experiment: immutable, strict about types, and without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
