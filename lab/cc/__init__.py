# SPDX-License-Identifier: Apache-2.0
"""Congestion control algorithms that users write: from a C file to the object that a trial's kernel loads.

A source is not trusted: it is read only with what it includes from its own folder (:mod:`lab.cc.sources`), and clang
compiles it in a sandbox (:mod:`lab.cc.sandbox`).  Nothing here runs the program; that is for the kernel of a trial.
"""
