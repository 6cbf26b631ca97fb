# SPDX-License-Identifier: Apache-2.0
"""An experiment multiplied by its matrix and its repetitions, and what can be said of it before it runs."""
