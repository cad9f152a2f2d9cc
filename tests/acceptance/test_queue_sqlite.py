"""SQLite serves as ledger for a few workers on one machine."""

from __future__ import annotations

from tests.queues import Queue


def test_workers_share_a_sqlite_ledger(sandbox, office, redis_server, wait_until):
    lms = sandbox(latency=0.01)
    terminal = office(lms, batch_size=20)
    terminal.environment |= {"ROSTER_BROKER": redis_server.connection_url + "/0", "ROSTER_SWEEP_SECONDS": "0.2"}
    line = Queue(terminal, terminal.environment["ROSTER_BROKER"])
    try:
        line.beat()
        line.worker(processes=2)
        victim = line.worker(processes=2)
        terminal.people("roster.csv", 300)
        terminal.people("more.csv", 80, first=290)
        jobs = [line.submit(name) for name in ("roster.csv", "more.csv")]
        lms.until(lambda lms: lms.calls() > 60)
        victim.kill()
        wait_until(
            lambda: all(terminal.status(job)["state"] not in {"queued", "running", "waiting"} for job in jobs)
        )
        counts = [terminal.status(job)["by_status"] for job in jobs]
    finally:
        line.close()

    done = sum(count["registered"] + count["already_registered"] for count in counts)
    assert done + sum(count["in_doubt"] for count in counts) == 380
    assert len(set(lms.people)) == len(lms.people)
