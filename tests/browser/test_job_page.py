"""A job's page: live, steered, its rows filtered, doubt settled, undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect


def send(page: Page) -> None:
    page.locator("#go").click()
    page.wait_for_url("**/jobs/*")


def ended(page: Page, words: str) -> None:
    expect(page.locator("[data-moves=no]")).to_be_visible(timeout=45_000)
    expect(page.locator("#stands")).to_contain_text(words)


def test_a_job_is_paused_goes_on_and_is_cancelled_with_the_truth_in_three_parts(
    desk: Callable[..., Any], dropped: Callable[..., Page], people: Callable[..., Any]
) -> None:
    here = desk(connection={"rate": "8/second", "batch_size": 10})
    page = dropped(here, here.office.roster("long.csv", people(400)))
    send(page)
    expect(page.locator("#stands")).to_contain_text("At work")
    expect(page.locator("#now")).to_contain_text("rows a minute")
    expect(page.locator("#now")).to_contain_text("8 calls a second")

    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#stands")).to_contain_text("Paused")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#stands")).not_to_contain_text("Paused")

    page.get_by_role("link", name="Cancel …").click()
    expect(page.get_by_role("heading", name="Cancel job 1?")).to_be_visible()
    parts = page.locator(".parts li")
    expect(parts).to_have_count(3)
    page.get_by_role("button", name="Cancel the job").click()
    ended(page, "Cancelled")
    shown = [int(each.split()[0]) for each in page.locator(".parts li").all_inner_texts()]
    assert sum(shown) == 400
    assert shown[1] == 0
    assert here.office.status(1)["by_status"]["not_attempted"] == shown[2]
    expect(page.get_by_role("button", name="Send again what was not done")).to_be_visible()


def test_rows_are_filtered_paged_and_found_by_their_number(
    desk: Callable[..., Any], dropped: Callable[..., Page], people: Callable[..., Any]
) -> None:
    here = desk()
    rows = [*people(118), {**people(1)[0], "email": "nobody"}, {**people(1)[0], "email": "no one"}]
    page = dropped(here, here.office.roster("many.csv", rows))
    send(page)
    ended(page, "Ended, rows left over")

    lines = page.locator(".rows tbody tr")
    page.get_by_label("Show").select_option(label="Rows that need a look (2)")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(lines).to_have_count(2)
    expect(lines.first).to_contain_text("120")
    lines.first.get_by_role("link", name="invalid_email").click()
    expect(page.locator("tr:target")).to_contain_text("invalid_email")

    page.go_back()
    page.get_by_role("link", name="Show all").click()
    expect(page.get_by_text("Page 1 of 3")).to_be_visible()
    page.get_by_role("link", name="Next").click()
    expect(lines).to_have_count(50)
    expect(lines.first.get_by_role("rowheader")).to_have_text("52")
    page.get_by_label("Row number").fill("77")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(lines).to_have_count(1)
    expect(lines.first.get_by_role("rowheader")).to_have_text("77")


def test_a_row_in_doubt_is_settled_in_the_form_beside_it(
    desk: Callable[..., Any], dropped: Callable[..., Page], people: Callable[..., Any]
) -> None:
    here = desk(bad_days=["create_candidate:lost-after:nth=2"])
    page = dropped(here, here.office.roster("doubt.csv", people(3)))
    send(page)
    ended(page, "Ended, rows left over")
    page.get_by_role("link", name="say what you found").click()
    form = page.locator(".resolve")
    expect(form).to_have_count(1)

    lms_id = form.get_by_label("Its id in the LMS")
    form.get_by_label("It is not there").check()
    expect(lms_id).not_to_have_attribute("required", "")
    form.get_by_label("The person is there, not registered yet").check()
    expect(lms_id).to_have_attribute("required", "")
    form.get_by_role("button", name="Note this answer").click()
    expect(lms_id).to_be_focused()
    lms_id.fill(" ")
    form.get_by_role("button", name="Note this answer").click()
    expect(form.get_by_role("alert")).to_contain_text("Write the id that the LMS shows for it")
    page.locator("#now .counts").get_by_role("link", name="In doubt").click()
    lost = next(
        each for each in here.lms.look("candidates") if (each["email"].casefold(), "58") not in here.lms.standing
    )
    form = page.locator(".resolve")
    form.get_by_label("The person is there, not registered yet").check()
    form.get_by_label("Its id in the LMS").fill(str(lost["id"]))
    form.get_by_role("button", name="Note this answer").click()
    page.get_by_role("button", name="Go on").click()

    ended(page, "Done")
    assert len(here.lms.standing) == 3
    here.forgive("409")


def test_what_a_job_registered_is_undone_by_a_job_that_can_be_watched(
    desk: Callable[..., Any], dropped: Callable[..., Page], people: Callable[..., Any]
) -> None:
    here = desk("kmi")
    page = dropped(here, here.office.roster("regret.csv", people(3)))
    send(page)
    ended(page, "Done")

    page.get_by_role("link", name="Undo …").click()
    expect(page.get_by_text("3 registrations made by this job")).to_be_visible()
    page.get_by_role("button", name="Withdraw them").click()
    page.wait_for_url("**/jobs/2?told=undo")
    ended(page, "Done")
    expect(page.locator("#now .counts")).to_contain_text("3 ✓ Withdrawn")
    assert here.lms.standing == {}


def test_a_job_that_waits_for_the_lms_says_until_when(
    desk: Callable[..., Any], dropped: Callable[..., Page], people: Callable[..., Any]
) -> None:
    here = desk(bad_days=["create_candidate:throttle:nth=3:retry-after=60"])
    page = dropped(here, here.office.roster("wait.csv", people(40)))
    send(page)

    expect(page.locator("#stands")).to_contain_text("Waiting", timeout=45_000)
    expect(page.locator("#now")).to_contain_text("It goes on at")


def test_a_job_that_needs_a_person_says_why_and_what_to_do(
    desk: Callable[..., Any], dropped: Callable[..., Page], people: Callable[..., Any]
) -> None:
    here = desk(connection={"token": "wrong"})
    page = dropped(here, here.office.roster("held.csv", people(4)))
    send(page)

    ended(page, "Needs you")
    assert page.get_by_role("button", name="Go on").is_visible()
    said = page.locator("#now").inner_text()
    assert "`" not in said
    assert "roster resume" not in said
    page.goto("/connections")
    expect(page.get_by_text("Needs you")).to_be_visible()


def test_connections_answer_when_they_are_asked(desk: Callable[..., Any]) -> None:
    here = desk()
    page = here.open("/connections")
    page.get_by_role("button", name="Check it now").click()

    expect(page.get_by_role("status")).to_contain_text("north: http://127.0.0.1")


def test_a_list_of_jobs_follows_them_by_itself(
    desk: Callable[..., Any], dropped: Callable[..., Page], people: Callable[..., Any]
) -> None:
    here = desk(connection={"rate": "20/second", "batch_size": 10})
    page = dropped(here, here.office.roster("followed.csv", people(80)))
    send(page)

    page.goto("/jobs")
    expect(page.locator("#list")).to_have_attribute("data-moves", "yes")
    expect(page.locator("#list")).to_contain_text("80 of 80", timeout=45_000)
    expect(page.locator("#list")).to_have_attribute("data-moves", "no")


def test_many_jobs_watched_in_one_browser_leave_it_room_to_speak(
    desk: Callable[..., Any], dropped: Callable[..., Page], people: Callable[..., Any]
) -> None:
    """A browser opens six lines to a host at a time, and each page that listens holds one."""
    here = desk(connection={"rate": "4/second", "batch_size": 10})
    first = dropped(here, here.office.roster("watched.csv", people(200)))
    send(first)
    for _ in range(9):
        here.page_in(first.context, "/jobs/1")

    last = here.page_in(first.context, "/connections")
    expect(last.get_by_role("heading", name="Connections", level=1)).to_be_visible()
    last.goto("/jobs/1")
    last.get_by_role("button", name="Pause").click()
    expect(last.locator("#stands")).to_contain_text("Paused")


def test_a_refused_act_leaves_a_page_that_still_follows_its_job(
    desk: Callable[..., Any], dropped: Callable[..., Page], people: Callable[..., Any]
) -> None:
    here = desk(connection={"rate": "8/second", "batch_size": 10})
    page = dropped(here, here.office.roster("refused.csv", people(150)))
    send(page)
    expect(page.locator("#stands")).to_contain_text("At work")

    # As a form does that stood on an older page.
    page.evaluate("document.querySelector('#act-pause').form.action = '/jobs/1/retry'")
    page.get_by_role("button", name="Pause").click()
    page.wait_for_url("**/jobs/1/retry")
    expect(page.get_by_role("alert")).to_be_visible()
    here.forgive("409")
    other = here.page_in(page.context, "/jobs/1")
    other.get_by_role("button", name="Pause").click()
    expect(other.locator("#stands")).to_contain_text("Paused")

    expect(page.locator("#stands")).to_contain_text("Paused")
    page.get_by_role("link", name="Not sent").or_(page.get_by_role("link", name="To come")).click()
    page.wait_for_url("**/jobs/1?status=not_attempted#rows")


def test_a_button_that_was_pressed_is_not_pressed_twice(
    desk: Callable[..., Any], dropped: Callable[..., Page], people: Callable[..., Any]
) -> None:
    here = desk()
    page = dropped(here, here.office.roster("twice.csv", people(2)))
    # A server that does not answer yet: the page stays.
    page.evaluate(
        "() => { window.sent = 0; document.getElementById('draft')"
        ".addEventListener('submit', (event) => { event.preventDefault(); window.sent += 1; }); }"
    )

    page.locator("#go").click()
    expect(page.locator("#go")).to_be_disabled()
    expect(page.locator("#again")).to_be_disabled()
    expect(page.get_by_role("button", name="Throw away")).to_be_enabled()
    page.locator("#go").dispatch_event("click")
    assert page.evaluate("window.sent") == 1


def test_a_list_of_jobs_asks_once_at_a_time_however_slow_the_answer(
    desk: Callable[..., Any], dropped: Callable[..., Page], people: Callable[..., Any]
) -> None:
    here = desk(connection={"rate": "8/second", "batch_size": 10})
    page = dropped(here, here.office.roster("slow.csv", people(150)))
    send(page)
    page.goto("/jobs")
    expect(page.locator("#list")).to_have_attribute("data-moves", "yes")
    expect(page.locator("#list")).to_contain_text("of 150", timeout=45_000)
    held: list[Any] = []
    page.clock.install()
    page.goto("/jobs")

    def hold(route: Any) -> None:
        held.append(route)

    page.route("**/jobs", hold)
    with page.expect_request("**/jobs"):
        page.clock.run_for(3_000)

    page.clock.run_for(30_000)
    assert len(held) == 1

    held[0].continue_()
    for _ in range(50):
        if len(held) == 1:
            page.clock.run_for(3_000)
    assert len(held) == 2
