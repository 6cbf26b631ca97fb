# SPDX-License-Identifier: Apache-2.0
"""A static web site of the reports of several runs, with a page that sums them up: what a nightly job publishes."""
