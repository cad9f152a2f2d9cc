// Keep pages up to date: a job, a draft, and lists. A page that is not up to date says so.
"use strict";

/** Return what tells whether this page is up to date, with `asks()`, `answered()` and `refused(why)`. */
function watchFreshness() {
  const PATIENCE = 10000, TICK = 1000;
  const banner = document.getElementById("stale");
  let answeredAt = Date.now(), askedAt = null, shown = "";

  async function show(kind) {
    if (kind === shown) return;
    shown = kind;
    await pressed();
    if (kind !== shown) return;
    banner.hidden = kind === "";
    document.body.classList.toggle("not-fresh", kind !== "");
    if (kind === "away") {
      banner.textContent = `Not up to date since ${timeOfDay.format(answeredAt)}. Trying again …`;
    } else if (kind === "signed-out") {
      const link = document.createElement("a");
      link.href = `/sign-in?${new URLSearchParams({ next: location.pathname + location.search })}`;
      link.textContent = "Sign in to go on";
      banner.replaceChildren("You were signed out. ", link, ".");
    } else if (kind === "no-access") {
      banner.textContent = "You have no access any more. Reload the page to see why.";
    } else if (kind === "gone") {
      const link = document.createElement("a");
      link.href = "/jobs";
      link.textContent = "See the jobs";
      banner.replaceChildren("This draft was sent or discarded elsewhere. ", link, ".");
    } else if (kind === "changed") {
      banner.textContent = "This draft was changed elsewhere. Reload the page to see how; what you typed here is lost then.";
    }
  }

  setInterval(() => {
    const isLate = askedAt !== null && Date.now() - askedAt > TICK && Date.now() - answeredAt > PATIENCE;
    if (isLate) show("away");
  }, TICK);
  // Without an answer the action would lead to an error page of the browser.
  document.addEventListener("submit", (event) => {
    if (shown === "away" && event.target.closest("#progress")) {
      event.preventDefault();
      event.stopPropagation();
      banner.scrollIntoView({ block: "center" });
    }
  }, true);
  return {
    asks() { askedAt ??= Date.now(); },
    answered() { askedAt = null; answeredAt = Date.now(); show(""); },
    refused(kind) { askedAt = null; show(kind); },
  };
}

/** Return a function that waits while a button or a key is pressed, but not for one that is held down.
 *
 * A press has no effect on something that is replaced, or moved away, before the release.
 */
function watchPresses() {
  const LONGEST = 3000;
  let press = Promise.resolve();
  function begin(event) {
    if (event.repeat) return;
    press = new Promise((resolve) => {
      setTimeout(resolve, LONGEST);
      for (const name of ["pointerup", "pointercancel", "keyup"]) {
        // The click follows the release.
        addEventListener(name, () => setTimeout(resolve), { capture: true, once: true });
      }
    });
  }
  for (const name of ["pointerdown", "keydown"]) addEventListener(name, begin, true);
  return () => press;
}

/** Fetch a page of this site and return it as a document, to be shown at once: no button and no key is pressed.
 *
 * Returns null when there was no answer, or the session has ended.
 */
async function fetchPage(address, freshness) {
  freshness.asks();
  const headers = { Accept: "text/html", "X-Roster-Follow": "yes" };
  const response = await fetch(address, { headers, signal: AbortSignal.timeout(60000) }).catch(() => null);
  if (response?.redirected && new URL(response.url).pathname === "/sign-in") {
    freshness.refused("signed-out");
    return null;
  }
  if (response?.status === 401 || response?.status === 403) freshness.refused("no-access");
  if (!response?.ok || response.redirected) return null;
  const text = await response.text().catch(() => null);
  if (text === null) return null;
  freshness.answered();
  await pressed();
  return new DOMParser().parseFromString(text, "text/html");
}

/** Return a function that releases one of the few slots for event streams; null when all are in use.
 *
 * A browser opens up to six connections to a host: if each page had a stream, the seventh page could not be loaded.
 */
async function acquireStreamSlot() {
  for (const slot of navigator.locks ? ["roster-1", "roster-2", "roster-3"] : []) {
    const release = await new Promise((resolve) => {
      navigator.locks.request(slot, { ifAvailable: true }, (lock) => {
        if (!lock) return resolve(null);
        return new Promise((unlock) => resolve(unlock));
      });
    });
    if (release) return release;
  }
  return null;
}

/** Show newer rows, but leave alone what a person is using: a form with an answer, and the filter. */
function renewRows(fresh) {
  const rows = document.getElementById("rows");
  if (!fresh) return;
  const table = rows.querySelector("#row-table"), freshTable = fresh.querySelector("#row-table");
  if (!table || !freshTable) {
    if (rows.innerHTML === fresh.innerHTML) return;
    rows.replaceWith(fresh);
    return localiseTimes(fresh);
  }
  const select = rows.querySelector("select[name=status]");
  for (const option of fresh.querySelectorAll("select[name=status] option")) {
    const shown = [...select.options].find((each) => each.value === option.value);
    if (!shown) select.append(new Option(option.textContent, option.value));
    else if (shown.textContent !== option.textContent) shown.textContent = option.textContent;
  }
  if (table.contains(document.activeElement) || table.querySelector("form.changed")) return;
  for (const each of freshTable.querySelectorAll("details[id]")) each.open = document.getElementById(each.id)?.open ?? false;
  table.replaceWith(freshTable);
  localiseTimes(freshTable);
}

/** Follow a job: fetch its progress when the server sends an event, and from time to time, while it is visible. */
function followJob(place, freshness, tabs) {
  // Milliseconds between requests: at least; with a stream; without one, so that tabs agree within two seconds.
  const MIN = 1000, STREAM = 5000, INTERVAL = 1500;
  const ROWS = 3000, ANNOUNCEMENTS = 10000;
  const announcement = document.getElementById("announcement");
  let requestedAt = 0, rowsAt = Date.now(), announcedAt = 0, scheduled = null, isBusy = false, html = "";
  let source = null, release = null;
  const shown = () => place.firstElementChild.dataset;

  async function fetchProgress() {
    scheduled = null;
    if (isBusy) return;
    isBusy = true;
    requestedAt = Date.now();
    const withRows = requestedAt - rowsAt >= ROWS || !document.getElementById("row-table");
    // Not the URL of this page: it may be that of an action that was refused.
    const rowsAddress = `${document.getElementById("rows").dataset.url}&part=job`;
    const address = withRows ? rowsAddress : `/jobs/${place.dataset.job}?part=progress`;
    const parsed = await fetchPage(address, freshness);
    isBusy = false;
    if (document.hidden) return;
    if (!parsed) return schedule(INTERVAL);
    const before = shown().state;
    renewProgress(parsed.querySelector(".progress"));
    if (withRows) {
      renewRows(parsed.getElementById("rows"));
      rowsAt = Date.now();
    }
    announce(before);
    if (before !== shown().state && !withRows) {
      rowsAt = requestedAt = 0;
      schedule(0);
    }
    next();
  }

  function renewProgress(section) {
    if (section.outerHTML === html || place.querySelector("form.changed")) return;
    html = section.outerHTML;
    const focused = place.contains(document.activeElement) ? document.activeElement.id : "";
    const isOpen = place.querySelector("details[open]") !== null;
    place.replaceChildren(section);
    localiseTimes(place);
    if (isOpen) place.querySelector("details")?.setAttribute("open", "");
    if (focused) (document.getElementById(focused) || document.getElementById("main")).focus({ preventScroll: true });
  }

  function announce(before) {
    if (shown().state === before && (shown().pace !== "moving" || Date.now() - announcedAt < ANNOUNCEMENTS)) return;
    announcement.textContent = shown().announcement;
    announcedAt = Date.now();
  }

  function schedule(later) {
    const delay = Math.max(requestedAt + MIN, Date.now() + later) - Date.now();
    if (scheduled && scheduled.at <= Date.now() + delay) return;
    if (scheduled) clearTimeout(scheduled.id);
    scheduled = { at: Date.now() + delay, id: setTimeout(fetchProgress, delay) };
  }

  /** Schedule the next request, and open a stream for a job that is moving. */
  function next() {
    const { pace } = shown();
    if (pace !== "moving") closeStream();
    else if (!release) openStream();
    schedule(source?.readyState === EventSource.OPEN && pace === "moving" ? STREAM : INTERVAL);
  }

  async function openStream() {
    release = () => {};
    release = await acquireStreamSlot();
    if (!release) return;
    if (document.hidden || shown().pace !== "moving") return closeStream();
    source = new EventSource(`/api/jobs/${place.dataset.job}/events`);
    source.onmessage = () => schedule(0);
    source.addEventListener("end", () => {
      closeStream();
      schedule(0);
    });
    // Without a stream, requests at intervals go on. One that was refused is not opened again by the browser.
    source.onerror = () => {
      if (source?.readyState === EventSource.CLOSED) source = null;
      schedule(INTERVAL);
    };
  }

  function closeStream() {
    if (source) source.close();
    if (release) release();
    source = release = null;
  }

  function stop() {
    closeStream();
    if (scheduled) clearTimeout(scheduled.id);
    scheduled = null;
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return stop();
    schedule(0);
  });
  tabs.addEventListener("message", () => document.hidden || schedule(0));
  if (!document.hidden) next();
}

/** Follow the lists of a page: fetch it again from time to time, while it is visible. */
function followLists(freshness, tabs) {
  const INTERVAL = 1500;
  const html = new Map();
  let scheduled = null;

  async function fetchLists() {
    scheduled = null;
    if (document.hidden) return;
    const parsed = await fetchPage(location.href, freshness);
    for (const place of parsed ? document.querySelectorAll("[data-live]") : []) renew(place, parsed);
    if (!scheduled) schedule();
  }

  function renew(place, parsed) {
    const fresh = parsed.getElementById(place.id);
    if (!fresh || fresh.outerHTML === html.get(place.id)) return;
    // A form that is being sent has its buttons disabled.
    if (place.querySelector("button:disabled")) return;
    const focused = place.contains(document.activeElement) ? document.activeElement : null;
    if (focused && !["a", "button"].includes(focused.localName)) return;
    html.set(place.id, fresh.outerHTML);
    place.replaceWith(fresh);
    localiseTimes(fresh);
    if (!focused) return;
    const target = (each) => each.href ?? `${each.form?.action} ${each.textContent}`;
    const same = [...fresh.querySelectorAll("a, button")].find((each) => target(each) === target(focused));
    (same || document.getElementById("main")).focus({ preventScroll: true });
  }

  // The next request follows the response to the last one: a slow server gets fewer requests, not more.
  function schedule(delay) {
    if (scheduled) clearTimeout(scheduled);
    scheduled = setTimeout(fetchLists, delay ?? INTERVAL);
  }

  document.addEventListener("visibilitychange", () => document.hidden || schedule(0));
  tabs.addEventListener("message", () => document.hidden || schedule(0));
  schedule();
}

/** Follow a draft: show what was changed elsewhere, but never in place of what was typed here. */
function followDraft(form, freshness, tabs) {
  const INTERVAL = 1500;
  let scheduled = null;

  async function fetchVersion() {
    scheduled = null;
    if (document.hidden) return;
    const parsed = await fetchPage(`${location.pathname}?part=state`, freshness);
    const version = parsed?.getElementById("draft")?.dataset.version;
    if (version === "gone") return freshness.refused("gone");
    if (version && version !== form.dataset.version) return showChanges();
    if (!scheduled) schedule(INTERVAL);
  }

  function showChanges() {
    if (form.querySelector("button:disabled")) return;
    if (form.matches(".changed, :has([aria-invalid])")) return freshness.refused("changed");
    location.replace(location.pathname);
  }

  function schedule(delay) {
    if (scheduled) clearTimeout(scheduled);
    scheduled = setTimeout(fetchVersion, delay);
  }

  document.addEventListener("visibilitychange", () => document.hidden || schedule(0));
  tabs.addEventListener("message", () => document.hidden || schedule(0));
  schedule(INTERVAL);
}

/** Tell the other tabs of this browser when an action was made in this one, once it has had its effect. */
function joinTabs() {
  const tabs = new BroadcastChannel("roster");
  document.addEventListener("submit", (event) => {
    if (event.target.method === "post") sessionStorage.setItem("acted", "yes");
  });
  if (sessionStorage.getItem("acted")) tabs.postMessage("acted");
  sessionStorage.removeItem("acted");
  return tabs;
}

const pressed = watchPresses();
{
  const tabs = joinTabs();
  const progress = document.getElementById("progress");
  if (progress) followJob(progress, watchFreshness(), tabs);
  else if (document.querySelector("[data-live]")) followLists(watchFreshness(), tabs);
  else if (document.getElementById("draft")) followDraft(document.getElementById("draft"), watchFreshness(), tabs);
}
