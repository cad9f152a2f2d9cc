"""A job's page: live progress, actions, filtered rows, rows in doubt, undo."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from playwright.sync_api import Page, expect


def send(page: Page) -> None:
    page.locator("#send").click()
    page.wait_for_url("**/jobs/*")


def ended(page: Page, words: str) -> None:
    expect(page.locator("[data-moving=no]")).to_be_visible(timeout=45_000)
    expect(page.locator("#state")).to_contain_text(words)


def test_a_job_is_paused_resumed_and_cancelled_with_its_rows_in_three_parts(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site(connection={"rate": "8/second", "batch_size": 10})
    page = upload(site, site.office.roster("long.csv", people(400)))
    send(page)
    expect(page.locator("#state")).to_contain_text("Running")
    expect(page.locator("#progress")).to_contain_text("calls per minute")
    expect(page.locator("#progress")).to_contain_text("the LMS, to 8 calls per second")

    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#state")).to_contain_text("Paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#state")).not_to_contain_text("Paused")

    page.get_by_role("link", name="Cancel …").click()
    expect(page.get_by_role("heading", name="Cancel job 1?")).to_be_visible()
    parts = page.locator(".parts li")
    expect(parts).to_have_count(3)
    page.get_by_role("button", name="Cancel the job").click()
    ended(page, "Cancelled")
    shown = [int(each.split()[0]) for each in page.locator(".parts li").all_inner_texts()]
    assert sum(shown) == 400
    summary = site.office.status(1)
    assert summary["stages"] == {"waiting": shown[2], "candidate_created": shown[1]}
    assert summary["by_status"]["not_attempted"] == shown[1] + shown[2]
    expect(page.get_by_role("button", name=f"Retry {shown[1] + shown[2]}")).to_be_visible()


def test_rows_are_filtered_paged_and_found_by_their_number(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site()
    rows = [*people(118), {**people(1)[0], "email": "nobody"}, {**people(1)[0], "email": "no one"}]
    page = upload(site, site.office.roster("many.csv", rows))
    send(page)
    ended(page, "Completed with errors")

    lines = page.locator(".rows tbody tr")
    page.get_by_label("Status", exact=True).select_option(label="Needs attention (2)")
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


def test_a_row_in_doubt_is_resolved_in_its_form(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site(bad_days=["create_candidate:lost-after:nth=2"])
    page = upload(site, site.office.roster("doubt.csv", people(3)))
    send(page)
    ended(page, "Completed with errors")
    page.get_by_role("link", name="enter what you found").click()
    form = page.locator(".resolve")
    expect(form).to_have_count(1)

    lms_id = form.get_by_label("ID in the LMS")
    form.get_by_label("Not in the LMS", exact=True).check()
    expect(lms_id).not_to_have_attribute("required", "")
    form.get_by_label("Not registered, but in the LMS").check()
    expect(lms_id).to_have_attribute("required", "")
    form.get_by_role("button", name="Save").click()
    expect(lms_id).to_be_focused()
    lms_id.fill(" ")
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("alert")).to_contain_text("Enter the ID that the LMS shows")
    page.locator("#progress .counts").get_by_role("link", name="Unconfirmed").click()
    lost = next(
        each for each in site.lms.look("candidates") if (each["email"].lower(), "58") not in site.lms.standing
    )
    form = page.locator(".resolve")
    form.get_by_label("Not registered, but in the LMS").check()
    form.get_by_label("ID in the LMS").fill(str(lost["id"]))
    form.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Resume").click()

    ended(page, "Completed")
    assert len(site.lms.standing) == 3
    site.ignore_errors("409")


def test_a_row_in_doubt_needs_no_id_where_registrations_have_none(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    # The second enrolment is lost, and then the list of the course cannot be read.
    lost = ["enrol_users:lost-after:nth=2", "list_enrolled:invalidparameter:first=1"]
    site = open_site("academy", connection={"lookup_pauses": [0.05, 0.1]}, bad_days=lost)
    page = upload(site, site.office.roster("doubt.csv", people(3)))
    send(page)
    ended(page, "Completed with errors")
    page.get_by_role("link", name="enter what you found").click()
    form = page.locator(".resolve").first
    expect(form.get_by_role("radio")).to_have_count(2)
    expect(form.get_by_label("ID in the LMS")).to_have_count(0)
    form.get_by_label("Registered", exact=True).check()
    form.get_by_role("button", name="Save").click()

    expect(page.get_by_role("status").filter(has_text="Row 3: saved. 1 left.")).to_be_visible()
    second = page.locator("details.answer[open]")
    second.get_by_label("Not registered", exact=True).check()
    second.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Resume").click()
    ended(page, "Completed")

    # Somebody who is on the course already is not enrolled again, whatever was answered.
    assert len(site.lms.standing) == 3
    assert site.lms.calls("enrol_users") == 2
    page.goto(site.url + "/jobs/1?row=3")
    expect(page.locator("#rows")).to_contain_text("Registered")
    expect(page.locator(".ids code")).to_have_count(1)


def test_the_registrations_of_a_job_are_withdrawn_by_a_separate_job(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site("kmi")
    page = upload(site, site.office.roster("regret.csv", people(3)))
    send(page)
    ended(page, "Completed")

    page.get_by_role("link", name="Undo …").click()
    expect(page.get_by_text("3 registrations made by this job")).to_be_visible()
    page.get_by_role("button", name="Withdraw 3 registrations").click()
    page.wait_for_url("**/jobs/2")
    ended(page, "Completed")
    expect(page.locator("#progress .counts")).to_contain_text("3 ✓ Withdrawn")
    assert site.lms.standing == {}


def test_a_job_that_waits_for_the_lms_says_until_when(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site(bad_days=["create_candidate:throttle:nth=3:retry-after=60"])
    page = upload(site, site.office.roster("wait.csv", people(40)))
    send(page)

    expect(page.locator("#state")).to_contain_text("Waiting", timeout=45_000)
    expect(page.locator("#progress")).to_contain_text("It resumes at")


def test_a_job_that_needs_action_says_why_and_what_to_do(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site(connection={"token": "wrong"})
    page = upload(site, site.office.roster("held.csv", people(4)))
    send(page)

    ended(page, "Action needed")
    assert page.get_by_role("button", name="Resume").is_visible()
    said = page.locator("#progress").inner_text()
    assert "`" not in said
    assert "roster resume" not in said
    page.goto(site.url + "/connections")
    expect(page.get_by_text("Action needed")).to_be_visible()


def test_a_connection_can_be_checked(open_site: Callable[..., Any]) -> None:
    site = open_site()
    page = site.open("/connections")
    page.get_by_role("button", name="Check connection").click()

    expect(page.get_by_role("status")).to_contain_text("north: http://127.0.0.1")


def test_a_list_of_jobs_updates_itself(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site(connection={"rate": "20/second", "batch_size": 10})
    page = upload(site, site.office.roster("followed.csv", people(80)))
    send(page)

    page.goto(site.url + "/jobs")
    expect(page.locator("#list")).to_have_attribute("data-moving", "yes")
    expect(page.locator("#list")).to_contain_text("80 of 80", timeout=45_000)
    expect(page.locator("#list")).to_have_attribute("data-moving", "no")


def test_many_jobs_followed_in_one_browser_leave_connections_for_other_pages(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    """A browser opens up to six connections to a host, and each page that follows a job may hold one."""
    site = open_site(connection={"rate": "4/second", "batch_size": 10})
    first = upload(site, site.office.roster("watched.csv", people(200)))
    send(first)
    for _ in range(9):
        site.page_in(first.context, "/jobs/1")

    last = site.page_in(first.context, "/connections")
    expect(last.get_by_role("heading", name="Connections", level=1)).to_be_visible()
    last.goto(site.url + "/jobs/1")
    last.get_by_role("button", name="Pause").click()
    expect(last.locator("#state")).to_contain_text("Paused")


def test_the_page_of_a_refused_action_still_follows_its_job(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site(connection={"rate": "8/second", "batch_size": 10})
    page = upload(site, site.office.roster("refused.csv", people(150)))
    send(page)
    expect(page.locator("#state")).to_contain_text("Running")

    # As a form of an outdated page does.
    page.evaluate("document.querySelector('#act-pause').form.action = '/jobs/1/retry'")
    page.get_by_role("button", name="Pause").click()
    page.wait_for_url("**/jobs/1")
    expect(page.get_by_role("alert")).to_be_visible()
    other = site.page_in(page.context, "/jobs/1")
    other.get_by_role("button", name="Pause").click()
    expect(other.locator("#state")).to_contain_text("Paused")

    expect(page.locator("#state")).to_contain_text("Paused")
    page.get_by_role("link", name="Not sent").or_(page.get_by_role("link", name="Pending")).click()
    page.wait_for_url("**/jobs/1?status=not_attempted#rows")


def test_a_button_that_is_pressed_while_the_page_changes_has_its_effect_when_it_is_released(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site(connection={"rate": "20/second", "batch_size": 10})
    page = upload(site, site.office.roster("pressed.csv", people(300)), own=True)
    send(page)
    # On a slow machine a press would count as one that is held down.
    page.clock.install()
    page.goto(site.url + "/jobs/1")
    expect(page.locator("#state")).to_contain_text("Running")
    page.clock.pause_at(datetime.now(UTC) + timedelta(minutes=5))

    def change() -> None:
        with page.expect_event("requestfinished", lambda request: "part=" in request.url):
            page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
            page.clock.run_for(1_100)
        # A later answer than the change: the page has read the change by then.
        page.evaluate("fetch('/healthz')")

    change()
    page.locator("#act-pause").focus()
    page.keyboard.down(" ")
    change()
    page.keyboard.up(" ")
    page.clock.run_for(100)
    expect(page.locator("#state")).to_contain_text("Paused")
    page.get_by_role("button", name="Resume").click()

    page.locator("#act-pause").wait_for()
    change()
    page.locator("#act-pause").hover()
    page.mouse.down()
    change()
    page.mouse.up()
    page.clock.run_for(100)
    expect(page.locator("#state")).to_contain_text("Paused")


def test_a_form_is_submitted_once_however_often_its_button_is_pressed(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site()
    page = upload(site, site.office.roster("twice.csv", people(2)))
    # A server that does not respond yet: the page stays open.
    page.evaluate(
        "() => { window.sent = 0; document.getElementById('draft')"
        ".addEventListener('submit', (event) => { event.preventDefault(); window.sent += 1; }); }"
    )

    page.locator("#send").click()
    expect(page.locator("#send")).to_be_disabled()
    expect(page.locator("#update")).to_be_disabled()
    page.locator("#send").dispatch_event("click")
    assert page.evaluate("window.sent") == 1


def test_a_list_of_jobs_sends_one_request_at_a_time_however_slow_the_response(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site(connection={"rate": "8/second", "batch_size": 10})
    page = upload(site, site.office.roster("slow.csv", people(150)), own=True)
    send(page)
    page.goto(site.url + "/jobs")
    expect(page.locator("#list")).to_have_attribute("data-moving", "yes")
    expect(page.locator("#list")).to_contain_text("of 150", timeout=45_000)
    held: list[Any] = []
    page.clock.install()
    page.goto(site.url + "/jobs")

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


def test_answers_on_rows_in_doubt_lead_from_row_to_row_and_can_be_changed(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site(connection={"batch_size": 1}, bad_days=["create_candidate:lost-after:every=2"])
    page = upload(site, site.office.roster("doubts.csv", people(6)))
    send(page)
    ended(page, "Completed with errors")
    page.get_by_role("link", name="enter what you found").click()
    forms = page.locator("details.answer")
    count = forms.count()
    assert count >= 2
    expect(page.locator("details.answer[open]")).to_have_count(1)
    forms.nth(1).locator("summary").click()
    expect(page.locator("details.answer[open]")).to_have_count(1)
    expect(forms.nth(1).locator("legend")).to_contain_text("registered on 58?")

    second = forms.nth(1).get_attribute("id")
    forms.nth(0).locator("summary").click()
    row = (forms.nth(0).get_attribute("id") or "").removeprefix("answer-")
    forms.nth(0).get_by_label("Not in the LMS", exact=True).check()
    forms.nth(0).get_by_role("button", name="Save").click()

    page.wait_for_url(f"**/jobs/1?status=in_doubt&page=1#{second}")
    expect(page.get_by_role("status").filter(has_text=f"Row {row}: saved. {count - 1} left.")).to_be_visible()
    expect(page.locator(f"#{second} input[type=radio]").first).to_be_focused()

    page.goto(site.url + f"/jobs/1?row={row}")
    page.get_by_text("Change answer").click()
    changed = page.locator(f"#answer-{row}")
    changed.get_by_label("Registered", exact=True).check()
    changed.get_by_label("ID in the LMS").fill("no id")
    changed.get_by_role("button", name="Save").click()
    expect(changed.get_by_role("alert")).to_be_visible()
    expect(changed.get_by_label("ID in the LMS")).to_be_focused()
    expect(changed.get_by_label("ID in the LMS")).to_have_value("no id")
    page.reload()
    expect(changed.get_by_role("alert")).to_have_count(0)


def test_a_held_job_whose_course_was_refused_is_resumed_with_another_course(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site()
    page = upload(site, site.office.roster("course.csv", people(4, course_id="580")))
    send(page)
    ended(page, "Action needed")
    course = page.get_by_label("Course", exact=True)
    expect(course).to_have_value("580")
    expect(page.locator("#row-table tbody tr")).to_have_count(4)
    expect(page.get_by_text("Duration", exact=True)).to_have_count(0)

    course.fill("fire")
    page.get_by_role("button", name="Resume with this course").click()
    expect(page.get_by_role("alert").filter(has_text="not a number")).to_be_visible()
    page.get_by_label("Course", exact=True).fill("59")
    page.get_by_role("button", name="Resume with this course").click()

    expect(page.get_by_role("status").filter(has_text="4 rows on course 59")).to_be_visible()
    ended(page, "Completed")
    assert {course for _, course in site.lms.standing} == {"59"}
