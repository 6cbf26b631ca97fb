# SPDX-License-Identifier: Apache-2.0
"""The fields of an experiment file, declared as pydantic models."""
