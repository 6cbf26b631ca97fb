# SPDX-License-Identifier: Apache-2.0
"""The experiment file: its schema, its checks, its errors.

::

    types → models → sizes → checks → validate → load        text in, a checked experiment out
                       └───→ resolve                         one cell and a seed → a job
    models → schema                                          the JSON Schema that editors use

Only :mod:`lab.spec.load` reads files; nothing here knows of engines, results or the command line.
"""
