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

/** Keep the name of this browser's time zone for reports, whose times the server writes. */
function keepTimeZone() {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  if (timeZone) document.cookie = `roster_zone=${timeZone}; Path=/; SameSite=Lax; Max-Age=31536000`;
}

/** Upload a file as soon as it is chosen, and show that it is being uploaded. */
function enhanceUpload(form) {
  const zone = form.querySelector(".zone");
  const file = form.querySelector("input[type=file]");
  const button = form.querySelector("button");
  const label = button.textContent;
  for (const name of ["dragenter", "dragover"]) zone.addEventListener(name, () => zone.classList.add("over"));
  for (const name of ["dragleave", "drop"]) zone.addEventListener(name, () => zone.classList.remove("over"));
  file.multiple = true;
  file.addEventListener("change", () => {
    if (file.files.length === 1) return form.requestSubmit(button);
    const files = [...file.files];
    file.value = "";
    if (files.length) takeFiles(files);
  });
  form.querySelector("select")?.addEventListener("change", () => file.files.length && form.requestSubmit(button));
  form.addEventListener("submit", () => {
    button.textContent = "Uploading …";
  });
  addEventListener("pageshow", (event) => { if (event.persisted) button.textContent = label; });
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

/** Keep what was typed when the session ends: it is there again after signing in, and leaving without saving warns. */
function keepTyped(form) {
  const key = `typed ${location.pathname}`;
  const typed = JSON.parse(sessionStorage.getItem(key) || "null");
  sessionStorage.removeItem(key);
  if (typed && document.referrer.startsWith(`${location.origin}/sign-in`)) {
    for (const box of form.querySelectorAll("[type=checkbox]")) box.checked = false;
    for (const [name, value] of typed) {
      const field = form.elements.namedItem(name);
      if (field?.type === "checkbox") field.checked = true;
      else if (field) field.value = value;
    }
    form.querySelector("details")?.setAttribute("open", "");
    form.classList.add("changed");
  }
  let isSubmitted = false;
  document.addEventListener("submit", (event) => {
    isSubmitted = true;
    if (event.target !== form) return;
    const fields = [...new FormData(form)].filter(([name]) => name !== "csrf");
    sessionStorage.setItem(key, JSON.stringify(fields));
  });
  document.querySelector("[data-leave]")?.addEventListener("click", () => { isSubmitted = true; });
  // Not when a page is first shown: that may come after its form was sent.
  addEventListener("pageshow", (event) => { if (event.persisted) isSubmitted = false; });
  addEventListener("beforeunload", (event) => {
    if (form.classList.contains("changed") && !isSubmitted) event.preventDefault();
  });
}

/** Require an ID where something was found that has one. */
function requireId(choice) {
  const id = choice.form.elements.namedItem("id");
  if (id) id.required = "id" in choice.dataset;
}

/** Submit a form only once, however often its button is pressed. */
function disableButtons(form) {
  // After the form data was collected, which leaves disabled buttons out.
  setTimeout(() => {
    for (const each of form.elements) if (each.localName === "button") each.disabled = true;
  }, 0);
}

/** Open the form of the row in doubt that the address names, and move the focus there. */
function openAnswer() {
  const answer = location.hash.startsWith("#answer-") && document.getElementById(location.hash.slice(1));
  if (answer?.localName !== "details") return;
  answer.open = true;
  (answer.querySelector("[aria-invalid]") || answer.querySelector("input[type=radio]"))?.focus();
}

keepTimeZone();
localiseTimes(document);
addEventListener("load", () => setTimeout(openAnswer));
document.addEventListener("change", (event) => event.target.name === "found" && requireId(event.target));
document.querySelectorAll("[name=found]:checked").forEach(requireId);
document.addEventListener("input", (event) => event.target.closest("#rows form, #progress form")?.classList.add("changed"));
document.addEventListener("submit", (event) => event.target.method === "post" && disableButtons(event.target));
// A page that comes from the browser's back/forward cache has its buttons enabled again.
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  for (const each of document.querySelectorAll("button:disabled")) each.disabled = false;
});
const upload = document.getElementById("upload");
if (upload) enhanceUpload(upload);
const draft = document.getElementById("draft");
if (draft) {
  enhanceDraft(draft);
  keepTyped(draft);
}
