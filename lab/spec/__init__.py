# SPDX-License-Identifier: Apache-2.0
"""The experiment file: its schema, its checks, its errors.

=============  ======================================================================================
``types``      what one value may be, and how it is written
``models``     the fields: names, defaults, descriptions
``sizes``      what a topology's figures come to: base RTT, BDP, queue limits
``fields``     paths of fields, in the schema and in a document
``problems``   what is wrong, in words: found, allowed, nearest name
``checks``     what must hold between fields
``matrix``     axes and cells
``validate``   plain values → an experiment, or all its problems
``document``   YAML text → plain values, with the line and column of each
``load``       a file and overrides → an experiment; the only module that reads files
``resolve``    one cell and a seed → a job
``schema``     the JSON Schema that editors use
=============  ======================================================================================

A module imports only from those above it.  Nothing here knows of engines, results or the command line.
"""
