// What a page does beside being read: it follows what happens, draws the cells of a table, copies, asks before it
// cancels, and goes by keys. Without it every page still works.
"use strict";

const page = () => document.getElementById("page");

// Follow: the server says that something happened, the page fetches itself and keeps what did not change.
let stream = null;
let busy = false;
let missed = false;

function link(text, lost) {
  const place = document.getElementById("link");
  if (!place) return;
  place.textContent = text;
  place.classList.toggle("lost", lost);
}

// A form that somebody fills in must not change under their hands.
const isTyping = () => document.activeElement?.matches("main input, main select") ?? false;

async function refresh() {
  if (busy || document.hidden || isTyping()) { missed = true; return; }
  busy = true;
  missed = false;
  try {
    await htmx.ajax("GET", location.pathname + location.search, { target: "#page", select: "#page", swap: "outerMorph" });
    ready();
  } finally {
    // Once a second is enough for eyes.
    setTimeout(() => { busy = false; if (missed) refresh(); }, 1000);
  }
}

function follow() {
  const path = page()?.dataset.live;
  if (!path) { stream?.close(); stream = null; link("", false); return; }
  if (stream?.path === path) return;
  stream?.close();
  let first = true;
  stream = new EventSource(path);
  stream.path = path;
  stream.onopen = () => link("● live", false);
  stream.onerror = () => { link("✕ connection lost", true); first = false; };
  // The first word only says that the stream is there.
  stream.onmessage = () => { if (first) { first = false; return; } refresh(); };
}

document.addEventListener("visibilitychange", () => { if (!document.hidden && missed) refresh(); });
document.addEventListener("focusout", () => { if (missed) setTimeout(refresh); });

// The cells of a table: one for each chunk.
let heat = null;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function layout(canvas, count) {
  const width = canvas.clientWidth;
  const side = Math.max(3, Math.min(16, Math.floor(Math.sqrt((width * 300) / Math.max(count, 1)))));
  const columns = Math.max(1, Math.floor(width / side));
  return { side, columns, width, height: Math.ceil(count / columns) * side };
}

function draw() {
  const canvas = document.getElementById("heat");
  if (!canvas || !heat) return;
  const { side, columns, width, height } = layout(canvas, heat.cells.length);
  const scale = window.devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.height && (canvas.style.height = height + "px");
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const fills = { ready: "--line", running: "--busy-fill", done: "--good-fill", quarantined: "--warn-fill", cancelled: "--idle-fill" };
  const colours = heat.states.map((name) => colour(fills[name]));
  const longest = heat.cells.reduce((most, cell) => Math.max(most, cell[5]), 1);
  const gap = side > 4 ? 1 : 0;
  heat.cells.forEach((cell, at) => {
    const isDone = heat.states[cell[2]] === "done";
    pen.globalAlpha = isDone ? 0.35 + 0.65 * Math.sqrt(cell[5] / longest) : 1;
    pen.fillStyle = colours[cell[2]];
    pen.fillRect((at % columns) * side, Math.floor(at / columns) * side, side - gap, side - gap);
  });
}

function cellAt(event) {
  const canvas = event.target;
  const { side, columns } = layout(canvas, heat.cells.length);
  const column = Math.floor(event.offsetX / side);
  return column < columns ? heat.cells[Math.floor(event.offsetY / side) * columns + column] : undefined;
}

async function load() {
  const canvas = document.getElementById("heat");
  if (!canvas) { heat = null; return; }
  const answer = await fetch(canvas.dataset.cells);
  if (!answer.ok) return;
  heat = await answer.json();
  draw();
}

document.addEventListener("mousemove", (event) => {
  if (event.target.id !== "heat" || !heat) return;
  const cell = cellAt(event);
  const text = cell
    ? `${heat.passes[cell[0]]} ${cell[1]}: ${heat.states[cell[2]]}, ${cell[4].toLocaleString("en")} rows, ${(cell[5] / 1000).toFixed(1)} s, attempts: ${cell[3]}`
    : "";
  document.getElementById("heat-note").textContent = text;
});
document.addEventListener("click", (event) => {
  if (event.target.id === "heat" && heat) {
    const cell = cellAt(event);
    if (cell) location.href = event.target.dataset.chunk + heat.passes[cell[0]] + "/" + cell[1];
  }
  const text = event.target.dataset?.copy;
  if (text) {
    navigator.clipboard.writeText(text).then(() => { event.target.textContent = "Copied"; });
  }
});
window.addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});

// Keys: / searches, j and k go through a list, Enter opens.
function step(by) {
  const rows = [...document.querySelectorAll("main tbody tr")];
  if (!rows.length) return;
  const at = rows.findIndex((row) => row.classList.contains("here"));
  const next = rows[Math.max(0, Math.min(rows.length - 1, at + by))];
  rows[at]?.classList.remove("here");
  next.classList.add("here");
  next.scrollIntoView({ block: "nearest" });
  next.querySelector("a")?.focus({ preventScroll: true });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
  if (event.key === "j") step(1);
  else if (event.key === "k") step(-1);
  else if (event.key === "/") {
    const field = document.getElementById("search");
    if (field) { event.preventDefault(); field.focus(); }
  }
});

function ready() {
  if (navigator.clipboard) document.querySelectorAll(".copy").forEach((button) => { button.hidden = false; });
  follow();
  load();
}
document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", ready) : ready();
