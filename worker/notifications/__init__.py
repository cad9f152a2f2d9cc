"""Notifications when a job ends or needs a person: which are due, their content, and their delivery.

Nothing here can fail a job: the content is read from the ledger afterwards, and what cannot be sent waits in the
outbox. No row, no person and no text of an LMS goes into a message.
"""
