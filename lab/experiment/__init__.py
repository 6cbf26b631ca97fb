# SPDX-License-Identifier: Apache-2.0
"""Experiment files: from YAML text to concrete trials.

============  ===========================================================================================
``schema``    the fields of an experiment file: names, types, units, defaults and descriptions
``resolve``   derives the topology, all values and the jobs of the trials from a checked experiment
``check``     checks the rules between fields, expands the matrix, and words all problems
``read``      reads YAML, the files that an experiment names, and overrides; only this part reads files
============  ===========================================================================================

Each part imports only from the parts above it.  No part depends on engines, results or the command line.
"""
