# SPDX-License-Identifier: Apache-2.0
"""Nightly jobs for CI services, which run experiments on several machines and publish what came out."""
