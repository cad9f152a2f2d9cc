// Files dropped anywhere on a page become drafts: one is opened, several are listed.
"use strict";

/** Upload a file as a draft; return its address and what is wrong with it (empty if nothing is). */
async function uploadDraft(file, connection) {
  const form = new FormData();
  form.append("connection", connection);
  form.append("file", file);
  const headers = { Accept: "text/html", "X-CSRF-Token": document.body.dataset.csrf };
  const response = await fetch("/drafts", { method: "POST", body: form, headers }).catch(() => null);
  if (!response) return { address: "", problem: "No answer from Roster. Try again." };
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const { pathname } = new URL(response.url);
  if (pathname === "/sign-in") return { address: "/sign-in", problem: "You were signed out. Sign in and try again." };
  const problem = page.querySelector(response.ok ? "[aria-labelledby=problem] .message" : "[role=alert]:not([hidden])");
  const isQuestion = response.ok && !problem && page.getElementById("problem");
  return {
    address: response.ok ? pathname : "",
    problem: problem?.textContent ?? (isQuestion ? "It needs an answer before it can be read." : ""),
  };
}

/** Ask for the connection when there are several; call `then` with it. */
function askConnection(dialog, title, connections, then) {
  if (connections.length === 1) return then(connections[0]);
  const choices = document.createElement("p");
  choices.className = "row";
  for (const name of connections) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => then(name));
    choices.append(button);
  }
  const question = document.createElement("p");
  question.textContent = "Which connection are they for? You review everything before it is sent.";
  dialog.replaceChildren(title, question, choices);
}

/** Upload files one after another, and show in the dialog what became of each. */
async function uploadAll(dialog, title, files, connection) {
  const list = document.createElement("ul");
  list.setAttribute("role", "status");
  const close = document.createElement("button");
  close.textContent = "Close";
  close.addEventListener("click", () => location.assign("/"));
  dialog.replaceChildren(title, list);
  for (const file of files) {
    const line = document.createElement("li");
    line.textContent = `${file.name}: uploading …`;
    list.append(line);
    const { address, problem } = await uploadDraft(file, connection);
    if (files.length === 1 && address.startsWith("/drafts/")) return location.assign(address);
    const name = document.createElement(address ? "a" : "span");
    if (address) name.href = address;
    name.textContent = file.name;
    line.replaceChildren(name, `: ${problem ? `not a roster yet. ${problem}` : "ready to review"}`);
  }
  dialog.append(close);
  dialog.querySelector("a, button")?.focus();
}

/** Make drafts of files. */
function takeFiles(files) {
  const dialog = document.createElement("dialog");
  dialog.className = "card";
  dialog.setAttribute("aria-labelledby", "dropped");
  dialog.addEventListener("close", () => dialog.remove());
  const title = document.createElement("h2");
  title.id = "dropped";
  title.textContent = files.length === 1 ? files[0].name : `${files.length} files`;
  document.body.append(dialog);
  dialog.showModal();
  const connections = JSON.parse(document.body.dataset.connections);
  askConnection(dialog, title, connections, (name) => uploadAll(dialog, title, files, name));
}

/** Take files that are dropped anywhere, so that the browser never opens them in place of the page. */
function takeDrops() {
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const mark = (isOver) => document.body.classList.toggle("dropping", isOver);
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    mark(true);
  });
  addEventListener("dragleave", (event) => event.relatedTarget || mark(false));
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    mark(false);
    const files = [...event.dataTransfer.files];
    const input = document.querySelector("#upload [type=file]");
    if (input && files.length === 1) {
      input.files = event.dataTransfer.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
    } else if (files.length) takeFiles(files);
  });
}

if (document.body.dataset.connections) takeDrops();
// A viewer cannot upload, but a dropped file must not take the place of the page either.
else for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());
