# SPDX-License-Identifier: Apache-2.0
"""Results on disk: run folders, trials in them, and the cache of raw records.

A run is a folder that anyone can read without this package::

    results/<experiment>/<run-id>/
        experiment.yaml        as given, byte for byte
        plan.json              the resolved trials
        provenance.json        what made these results
        metrics.parquet        one row per flow and trial (derived)
        trials/<trial-id>/
            trial.json         identity, the job, the record, status
            iperf3/*.json      complete iperf3 output of both ends
            <collector>.parquet
            log.txt
            validity.json      the checks of this trial (derived)
        report/                (derived)

Everything but what is marked *derived* is written once.  Whatever exists under its final name is whole:
folders and files are written under a temporary name, synced and renamed.
"""
