"""Roster: drop a spreadsheet; everybody on it is registered on the LMS, exactly once.

The walk of one row, module by module:

1. `entrypoints.cli` hands the file to `intake.accept`, which keeps it and opens a job in the `ledger`; so do
   `intake.drop_folder` and `timetable.due`, for what comes by itself.
2. `intake.files` yields raw rows, `intake.headers` matches the headings, `intake.rows` makes each row a candidate
   and a course, or says everything that is wrong with it.
3. `registration.plan` cuts the rows into batches, `registration.run` claims a batch and works it off:
   a connector of `lms` speaks to the LMS at the pace of `pace`, and the ledger knows of every call before it is
   made and of every answer before anything depends on it.
4. `registration.settle` closes the job when the books balance; `reports` tells what happened to every row.

What becomes of a job that works in the background is told by `messages`, beside the work and never before it.

`runner` drives these in one process; `tasks` drives the same functions from Celery.
"""

__version__ = "0.1.0"
