# SPDX-License-Identifier: Apache-2.0
"""The curves over time that the page lets readers zoom into: their data, without a library that draws them."""
