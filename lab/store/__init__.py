# SPDX-License-Identifier: Apache-2.0
"""Results on disk: the folders of runs, the trials in them, and the cache of raw records.

A run is a folder that anyone can read without this package::

    results/<experiment>/<run-id>/
        experiment.yaml        the experiment file, byte for byte
        inputs/                the files that the experiment names, and those that it extends
        plan.json              the resolved trials
        provenance.json        the command, versions and digests behind these results
        metrics.parquet        one row per flow and trial (derived)
        trials/<trial-id>/
            trial.json         identity, status, job and record of the trial
            iperf3/*.json      complete iperf3 output of both ends
            <collector>.parquet
            log.txt            log of the agent
            validity.json      the checks of this trial (derived)
        report/                the report (derived)

Files that are marked *derived* can be computed again from the others and may be replaced.  All other files are written
once.  Folders and files are written under a temporary name, flushed to the disk and renamed, so whatever has its final
name is complete.
"""
