# SPDX-License-Identifier: Apache-2.0
"""Generate traffic with iperf3, short flows and latency probes, and read the state of the sockets that send it."""
