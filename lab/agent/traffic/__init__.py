# SPDX-License-Identifier: Apache-2.0
"""What sends: iperf3, short flows and latency probes, and the sockets that they leave in the kernel."""
