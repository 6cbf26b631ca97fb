# SPDX-License-Identifier: Apache-2.0
"""Write what a run recorded in the formats of other tools: pcapng, flent, CSV and tcpprobe."""

from __future__ import annotations

FORMATS = ("tcpprobe", "pcap", "flent", "csv")
"""The formats that :func:`lab.export.formats.export` writes."""
