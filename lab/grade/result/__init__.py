# SPDX-License-Identifier: Apache-2.0
"""What comes out: the grade of a submission, and the pages and files for the student and the class."""
