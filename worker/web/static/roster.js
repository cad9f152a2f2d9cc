// What the pages do when scripts are allowed; everything works without them.
"use strict";

const dateAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const timeOfDay = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** Show times in the time zone of this browser. */
function localiseTimes(within) {
  for (const time of within.querySelectorAll("time[datetime]:not([title])")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.title = time.textContent;
    const isToday = at.toDateString() === new Date().toDateString();
    time.textContent = isToday ? timeOfDay.format(at) : dateAndTime.format(at);
  }
}

/** Upload a file as soon as it is chosen, and show that it is being uploaded. */
function enhanceUpload(form) {
  const zone = form.querySelector(".zone");
  const file = form.querySelector("input[type=file]");
  const button = form.querySelector("button");
  const label = button.textContent;
  for (const name of ["dragenter", "dragover"]) zone.addEventListener(name, () => zone.classList.add("over"));
  for (const name of ["dragleave", "drop"]) zone.addEventListener(name, () => zone.classList.remove("over"));
  file.addEventListener("change", () => file.files.length && form.requestSubmit(button));
  form.addEventListener("submit", () => {
    button.textContent = "Uploading …";
  });
  addEventListener("pageshow", () => { button.textContent = label; });
}

/** Mark a draft as changed, and send the time zone of its start time. */
function enhanceDraft(form) {
  form.addEventListener("input", () => form.classList.add("changed"));
  const at = form.querySelector("[name=at]");
  const zone = form.querySelector("[data-zone]");
  const name = form.querySelector("[data-zone-name]");
  name.textContent = `in your time zone (${Intl.DateTimeFormat().resolvedOptions().timeZone})`;
  const setZone = () => { zone.value = (at.value ? new Date(at.value) : new Date()).getTimezoneOffset(); };
  setZone();
  at.addEventListener("change", setZone);
}

/** Require an ID unless nothing was found. */
function requireId(choice) {
  choice.form.elements.namedItem("id").required = choice.value !== "absent";
}

/** Submit a form only once, however often its button is pressed. */
function disableButtons(form) {
  // After the form data was collected, which leaves disabled buttons out.
  setTimeout(() => {
    for (const each of form.elements) if (each.localName === "button") each.disabled = true;
  }, 0);
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

/** Follow a job: fetch its progress whenever the server sends an event, with a minimum interval (milliseconds). */
function followJob(place) {
  const MIN_INTERVAL = 1000, POLL_INTERVAL = 2000, RETRY_INTERVAL = 5000, ANNOUNCE_INTERVAL = 10000;
  const announcement = document.getElementById("announcement");
  let requestedAt = 0, scheduled = null, announcedAt = 0, state = place.firstElementChild.dataset.state;

  async function fetchProgress() {
    scheduled = null;
    requestedAt = Date.now();
    const address = `/jobs/${place.dataset.job}?part=progress`;
    const response = await fetch(address, { headers: { Accept: "text/html" } }).catch(() => null);
    if (!response || !response.ok || response.redirected) return schedule(RETRY_INTERVAL);
    const focused = document.activeElement && place.contains(document.activeElement) ? document.activeElement.id : "";
    const isOpen = place.querySelector("details[open]") !== null;
    const parsed = new DOMParser().parseFromString(await response.text(), "text/html");
    place.replaceChildren(...parsed.body.children);
    localiseTimes(place);
    if (isOpen) place.querySelector("details")?.setAttribute("open", "");
    if (focused) (document.getElementById(focused) || document.getElementById("main")).focus({ preventScroll: true });
    const now = place.firstElementChild.dataset;
    if (now.state !== state || Date.now() - announcedAt > ANNOUNCE_INTERVAL) {
      announcement.textContent = now.announcement;
      announcedAt = Date.now();
    }
    if (now.state !== state) await renewRows();
    state = now.state;
    if (now.moving === "yes") schedule(source ? RETRY_INTERVAL : POLL_INTERVAL);
    else stop();
  }

  function schedule(later) {
    const delay = Math.max(requestedAt + MIN_INTERVAL, Date.now() + later) - Date.now();
    if (scheduled && scheduled.at <= Date.now() + delay) return;
    if (scheduled) clearTimeout(scheduled.id);
    scheduled = { at: Date.now() + delay, id: setTimeout(fetchProgress, delay) };
  }

  async function renewRows() {
    const rows = document.getElementById("rows");
    const isInUse = () => rows.contains(document.activeElement) || rows.classList.contains("changed");
    if (isInUse()) return;
    // Not the URL of this page: it may be that of an action that was refused.
    const response = await fetch(rows.dataset.url).catch(() => null);
    if (!response || !response.ok) return;
    const parsed = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("rows");
    if (parsed && !isInUse()) {
      rows.replaceWith(parsed);
      localiseTimes(parsed);
    }
  }

  let source = null, release = null;
  const refresh = () => schedule(0);
  async function start() {
    if (document.hidden || place.firstElementChild.dataset.moving !== "yes") return;
    schedule(RETRY_INTERVAL);
    if (release) return;
    release = () => {};
    release = await acquireStreamSlot();
    if (!release) return schedule(POLL_INTERVAL);
    if (document.hidden) return stop();
    source = new EventSource(`/api/jobs/${place.dataset.job}/events`);
    source.onmessage = refresh;
    source.addEventListener("end", refresh);
  }
  function stop() {
    if (source) source.close();
    if (release) release();
    if (scheduled) clearTimeout(scheduled.id);
    source = release = scheduled = null;
  }
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return stop();
    start();
    if (place.firstElementChild.dataset.moving === "yes") refresh();
  });
  start();
}

/** Fetch a list of jobs again while one of them is moving and the page is visible. */
function followList(place) {
  const INTERVAL = 3000;
  async function fetchList() {
    const list = document.getElementById(place.id);
    if (document.hidden || list.dataset.moving !== "yes" || list.contains(document.activeElement)) return;
    const response = await fetch(location.href);
    if (!response.ok || response.redirected) return;
    const parsed = new DOMParser().parseFromString(await response.text(), "text/html").getElementById(place.id);
    if (!parsed) return;
    list.replaceWith(parsed);
    localiseTimes(parsed);
  }
  // The next request follows the response to the last one: a slow server gets fewer requests, not more.
  const schedule = () => setTimeout(() => fetchList().catch(() => null).finally(schedule), INTERVAL);
  schedule();
}

localiseTimes(document);
document.addEventListener("change", (event) => event.target.name === "found" && requireId(event.target));
document.querySelectorAll("[name=found]:checked").forEach(requireId);
document.addEventListener("input", (event) => event.target.closest("#rows")?.classList.add("changed"));
document.addEventListener("submit", (event) => event.target.method === "post" && disableButtons(event.target));
// A page that comes from the browser's back/forward cache has its buttons enabled again.
addEventListener("pageshow", () => {
  for (const each of document.querySelectorAll("button:disabled")) each.disabled = false;
});
const upload = document.getElementById("upload");
if (upload) enhanceUpload(upload);
const draft = document.getElementById("draft");
if (draft) enhanceDraft(draft);
const progress = document.getElementById("progress");
const list = document.getElementById("list");
if (list) followList(list);
if (progress && progress.firstElementChild.dataset.moving === "yes") followJob(progress);
