# SPDX-License-Identifier: Apache-2.0
"""Experiment files: from YAML text to concrete trials.

============  =======================================================================================
``schema``    the fields of an experiment file: names, types, units, defaults, descriptions
``resolve``   the topology and the values that follow from a checked experiment; jobs for the engines
``check``     rules between fields, the matrix, and the texts of all problems
``read``      YAML, the files that an experiment names, and overrides; the only part that reads files
============  =======================================================================================

Each part imports only from those above it.  Nothing here knows of engines, results or the command line.
"""
