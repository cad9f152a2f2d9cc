// What the page does by itself when scripts are allowed; everything works without.
"use strict";

const times = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** Write times in the zone of this browser. */
function localise(within) {
  for (const time of within.querySelectorAll("time[datetime]:not([title])")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.title = time.textContent;
    const today = at.toDateString() === new Date().toDateString();
    time.textContent = today ? clock.format(at) : times.format(at);
  }
}

/** Show the dropped file at once, and say that it is on its way. */
function dropping(form) {
  const zone = form.querySelector(".zone");
  const file = form.querySelector("input[type=file]");
  const button = form.querySelector("button");
  const label = button.textContent;
  for (const name of ["dragenter", "dragover"]) zone.addEventListener(name, () => zone.classList.add("over"));
  for (const name of ["dragleave", "drop"]) zone.addEventListener(name, () => zone.classList.remove("over"));
  file.addEventListener("change", () => file.files.length && form.requestSubmit(button));
  form.addEventListener("submit", () => {
    button.textContent = "Reading it …";
  });
  addEventListener("pageshow", () => { button.textContent = label; });
}

/** Say when the draft was changed, and in which zone its time is. */
function drafting(form) {
  form.addEventListener("input", () => form.classList.add("changed"));
  const at = form.querySelector("[name=at]");
  const zone = form.querySelector("[data-zone]");
  const name = form.querySelector("[data-zone-name]");
  name.textContent = `in your time zone (${Intl.DateTimeFormat().resolvedOptions().timeZone})`;
  const note = () => { zone.value = (at.value ? new Date(at.value) : new Date()).getTimezoneOffset(); };
  note();
  at.addEventListener("change", note);
}

/** Ask for the id of what was found, where something was. */
function answering(choice) {
  choice.form.elements.namedItem("id").required = choice.value !== "absent";
}

/** Send a form once, however often its button is pressed. */
function sending(form) {
  // After the submission was put together, for a disabled button is not part of it.
  setTimeout(() => {
    for (const each of form.elements) if (each.localName === "button") each.disabled = true;
  }, 0);
}

/** Take one of the few lines on which pages of this browser listen; null when all are taken.
 *
 * A browser opens six lines to a host at a time: were each page to hold one, the seventh could not even be loaded.
 */
async function takeLine() {
  for (const line of navigator.locks ? ["roster-1", "roster-2", "roster-3"] : []) {
    const taken = await new Promise((resolve) => {
      navigator.locks.request(line, { ifAvailable: true }, (lock) => {
        if (!lock) return resolve(null);
        return new Promise((giveBack) => resolve(giveBack));
      });
    });
    if (taken) return taken;
  }
  return null;
}

/** Follow a job: whenever the server tells of a change, fetch how it stands; at most so often (milliseconds). */
function following(place) {
  const OFTEN = 1000, POLLED = 2000, SELDOM = 5000, SPOKEN = 10000;
  const said = document.getElementById("said");
  let asked = 0, waiting = null, spoken = 0, state = place.firstElementChild.dataset.state;

  async function fetchNow() {
    waiting = null;
    asked = Date.now();
    const answer = await fetch(`/jobs/${place.dataset.job}?part=now`, { headers: { Accept: "text/html" } }).catch(() => null);
    if (!answer || !answer.ok || answer.redirected) return again(SELDOM);
    const focused = document.activeElement && place.contains(document.activeElement) ? document.activeElement.id : "";
    const open = place.querySelector("details[open]") !== null;
    const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
    place.replaceChildren(...parsed.body.children);
    localise(place);
    if (open) place.querySelector("details")?.setAttribute("open", "");
    if (focused) (document.getElementById(focused) || document.getElementById("main")).focus({ preventScroll: true });
    const now = place.firstElementChild.dataset;
    if (now.state !== state || Date.now() - spoken > SPOKEN) {
      said.textContent = now.said;
      spoken = Date.now();
    }
    if (now.state !== state) await renewRows();
    state = now.state;
    if (now.moves === "yes") again(source ? SELDOM : POLLED);
    else end();
  }

  function again(later) {
    const due = Math.max(asked + OFTEN, Date.now() + later) - Date.now();
    if (waiting && waiting.at <= Date.now() + due) return;
    if (waiting) clearTimeout(waiting.id);
    waiting = { at: Date.now() + due, id: setTimeout(fetchNow, due) };
  }

  async function renewRows() {
    const rows = document.getElementById("rows");
    const isInUse = () => rows.contains(document.activeElement) || rows.classList.contains("changed");
    if (isInUse()) return;
    // Not the address of this page: it may be that of an act which was refused.
    const answer = await fetch(rows.dataset.here).catch(() => null);
    if (!answer || !answer.ok) return;
    const parsed = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("rows");
    if (parsed && !isInUse()) {
      rows.replaceWith(parsed);
      localise(parsed);
    }
  }

  let source = null, giveBack = null;
  const ring = () => again(0);
  async function listen() {
    if (document.hidden || place.firstElementChild.dataset.moves !== "yes") return;
    again(SELDOM);
    if (giveBack) return;
    giveBack = () => {};
    giveBack = await takeLine();
    if (!giveBack) return again(POLLED);
    if (document.hidden) return end();
    source = new EventSource(`/api/jobs/${place.dataset.job}/events`);
    source.onmessage = ring;
    source.addEventListener("end", ring);
  }
  function end() {
    if (source) source.close();
    if (giveBack) giveBack();
    if (waiting) clearTimeout(waiting.id);
    source = giveBack = waiting = null;
  }
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return end();
    listen();
    if (place.firstElementChild.dataset.moves === "yes") ring();
  });
  listen();
}

/** Fetch a list of jobs anew while one of them moves and somebody looks. */
function listing(place) {
  const OFTEN = 3000;
  async function fetchNow() {
    const here = document.getElementById(place.id);
    if (document.hidden || here.dataset.moves !== "yes" || here.contains(document.activeElement)) return;
    const answer = await fetch(location.href);
    if (!answer.ok || answer.redirected) return;
    const parsed = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(place.id);
    if (!parsed) return;
    here.replaceWith(parsed);
    localise(parsed);
  }
  // The next question is put when the last one was answered: a slow server is asked less, not more.
  const again = () => setTimeout(() => fetchNow().catch(() => null).finally(again), OFTEN);
  again();
}

localise(document);
document.addEventListener("change", (event) => event.target.name === "found" && answering(event.target));
document.querySelectorAll("[name=found]:checked").forEach(answering);
document.addEventListener("input", (event) => event.target.closest("#rows")?.classList.add("changed"));
document.addEventListener("submit", (event) => event.target.method === "post" && sending(event.target));
// On a page that comes back out of the browser's memory everything can be pressed again.
addEventListener("pageshow", () => {
  for (const each of document.querySelectorAll("button:disabled")) each.disabled = false;
});
const drop = document.getElementById("drop");
if (drop) dropping(drop);
const draft = document.getElementById("draft");
if (draft) drafting(draft);
const now = document.getElementById("now");
const list = document.getElementById("list");
if (list) listing(list);
if (now && now.firstElementChild.dataset.moves === "yes") following(now);
