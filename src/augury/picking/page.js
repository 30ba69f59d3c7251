"use strict";

const LONGEST = 160, COMFORTABLE = 112; // pixels of a tile's longer side
const element = id => document.getElementById(id);
const sections = [...document.querySelectorAll("section")];
const picks = new Map(); // tile -> second since 1970 in which it was picked
const undone = []; // for each step back: [tile, second before, or undefined]
let tiles = []; // in the order of the page
let anchor = null; // the tile that was clicked last
let changes = 0, saved = 0, ended = false;

function setPicked(tile, second) {
  if (second === undefined) picks.delete(+tile.dataset.tile);
  else picks.set(+tile.dataset.tile, second);
  tile.setAttribute("aria-pressed", second !== undefined);
}

function change(wanted) { // [[tile, second or undefined], ...]
  if (wanted.length === 0) return;
  undone.push(wanted.map(([tile]) => [tile, picks.get(+tile.dataset.tile)]));
  apply(wanted);
}

function apply(wanted) {
  for (const [tile, second] of wanted) setPicked(tile, second);
  changes += 1;
  tell(picks.size === 1 ? "1 image picked, not saved yet." : `${picks.size} images picked, not saved yet.`);
  show(new Set(wanted.map(([tile]) => tile.closest("section"))));
}

function show(changed) {
  element("undo").disabled = ended || undone.length === 0;
  const target = Math.trunc(element("target").valueAsNumber) || 0;
  for (const section of changed) {
    const all = section.querySelectorAll(".tile").length;
    const picked = section.querySelectorAll('.tile[aria-pressed="true"]').length;
    const count = section.querySelector(".count");
    count.textContent = target > 0 ? `${picked} of ${target} picked (${all} images)` : `${picked} of ${all} picked`;
    count.classList.toggle("reached", target > 0 && picked >= target);
  }
}

function tell(text, kind = "") {
  element("state").textContent = text;
  element("state").className = kind;
}

function click(event) {
  const tile = event.target.closest(".tile");
  if (tile === null || ended) return;
  const now = Math.floor(Date.now() / 1000), chosen = picks.has(+tile.dataset.tile);
  const range = event.shiftKey && anchor !== null ? between(anchor, tile) : [];
  if (range.length > 0) change(range.filter(one => !picks.has(+one.dataset.tile)).map(one => [one, now]));
  else change([[tile, chosen ? undefined : now]]);
  anchor = tile;
  reach(tile);
}

function between(one, other) { // of one class; of those that are shown
  const shown = tiles.filter(tile => !tile.hidden && tile.parentNode === other.parentNode);
  const ends = [shown.indexOf(one), shown.indexOf(other)].sort((a, b) => a - b);
  return ends[0] < 0 ? [] : shown.slice(ends[0], ends[1] + 1);
}

function reach(tile) { // the tab key stops at one tile only
  for (const other of document.querySelectorAll('.tile[tabindex="0"]')) other.tabIndex = -1;
  tile.tabIndex = 0;
  tile.focus();
}

function move(event) {
  const tile = event.target.closest(".tile");
  if (tile === null || event.ctrlKey || event.altKey || event.metaKey) return;
  const next = { ArrowRight: beside, ArrowLeft: beside, ArrowDown: across, ArrowUp: across }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  const found = next(tile, ["ArrowRight", "ArrowDown"].includes(event.key) ? 1 : -1);
  if (found !== undefined) reach(found);
}

function beside(tile, step) {
  let i = tiles.indexOf(tile) + step;
  while (tiles[i]?.hidden) i += step;
  return tiles[i];
}

function across(tile, step) { // to the nearest tile of the next row
  const { left, top } = tile.getBoundingClientRect();
  let next = beside(tile, step), found, row;
  for (; next !== undefined; next = beside(next, step)) {
    const place = next.getBoundingClientRect();
    if (place.top === top) continue;
    if (row !== undefined && place.top !== row) break;
    row = place.top;
    const distance = Math.abs(place.left - left);
    if (found === undefined || distance < found[1]) found = [next, distance];
  }
  return found?.[0];
}

function filter(pickedOnly) { // what is put back stays where it is until the filter is chosen again
  for (const tile of tiles) tile.hidden = pickedOnly && !picks.has(+tile.dataset.tile);
  element("all").setAttribute("aria-pressed", !pickedOnly);
  element("picked").setAttribute("aria-pressed", pickedOnly);
  const first = tiles.find(tile => !tile.hidden);
  for (const tile of tiles) tile.tabIndex = tile === first ? 0 : -1;
}

function undo() {
  if (undone.length > 0 && !ended) apply(undone.pop());
}

async function save(last) {
  const at = changes;
  tell("Saving ...");
  let said;
  try {
    const answer = await fetch(last ? "finish" : "save", { method: "POST", body: JSON.stringify([...picks]) });
    said = answer.status === 403 ? { error: "the command has ended: start it again" } : await answer.json();
  } catch {
    said = { error: "the command does not answer: start it again" };
  }
  if (said.error !== undefined) return tell(`Not saved: ${said.error}`, "bad");
  saved = at;
  ended = last;
  const images = said.picked === 1 ? "1 image" : `${said.picked} images`;
  const more = ended ? " You can close this page." : changes === saved ? "" : " Changes since then are not saved yet.";
  tell(`Saved: ${images} in ${said.path}.${more}`, "good");
  if (ended) for (const control of document.querySelectorAll(".tools button, .tools input, .tile")) control.disabled = true;
}

function tileOf(number, scale, width, height, name) {
  const tile = document.createElement("button"), image = document.createElement("img");
  Object.assign(image, { loading: "lazy", alt: "", width: width * scale, height: height * scale, src: `image/${number}` });
  Object.assign(tile, { type: "button", className: "tile", tabIndex: -1 });
  tile.classList.toggle("enlarged", scale > 1);
  tile.dataset.tile = number;
  tile.setAttribute("aria-pressed", "false");
  tile.setAttribute("aria-label", name);
  tile.append(image);
  return tile;
}

async function begin() {
  const { labels, picked, width, height } = await (await fetch("tiles.json")).json();
  const longer = Math.max(width, height);
  const scale = longer < COMFORTABLE ? Math.round(COMFORTABLE / longer) : Math.min(1, LONGEST / longer);
  for (const section of sections) {
    const own = labels.flatMap((label, number) => (label === +section.dataset.label ? [number] : []));
    const named = (number, i) => tileOf(number, scale, width, height, `${section.getAttribute("aria-label")}, image ${i + 1}`);
    section.querySelector(".tiles").append(...own.map(named));
  }
  tiles = [...document.querySelectorAll(".tile")];
  const byNumber = new Map(tiles.map(tile => [+tile.dataset.tile, tile]));
  for (const [number, second] of picked) setPicked(byNumber.get(number), second);
  filter(false);
  show(sections);
  document.querySelector("main").addEventListener("click", click);
  document.addEventListener("keydown", move);
}

document.addEventListener("keydown", event => {
  if (event.key === "z" && (event.ctrlKey || event.metaKey) && event.target !== element("target")) {
    event.preventDefault();
    undo();
  }
});
addEventListener("beforeunload", event => changes !== saved && event.preventDefault());
element("all").addEventListener("click", () => filter(false));
element("picked").addEventListener("click", () => filter(true));
element("target").addEventListener("input", () => show(sections));
element("undo").addEventListener("click", undo);
element("save").addEventListener("click", () => save(false));
element("finish").addEventListener("click", () => save(true));
begin();
