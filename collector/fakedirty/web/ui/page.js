"use strict";
// Asks for the list of migrations again and again, and for the one that is shown whenever that has changed.
// Texts go into the page as text alone: names of VMs and of RAM blocks are whatever somebody chose.

const RUNNING_MS = 1000, IDLE_MS = 5000, LOST_MS = 15000, PATIENCE_MS = 30000;
const dark = matchMedia("(prefers-color-scheme: dark)");
const at = (id) => document.getElementById(id);
const sources = {};       // of the figures, by name; those of one name hold the same
const shown = {key: "", stamp: "", ramStamp: "", ramLeft: 0, ram: null, busy: false};
let state = null, timer = 0, failures = 0;

class Refused extends Error {}

async function ask(path) {
  const answer = await fetch(path, {cache: "no-cache", credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE_MS)});
  const told = await answer.json().catch(() => ({error: `${answer.status} ${answer.statusText}`}));
  if (answer.status === 503) throw new Error(told.error);
  if (!answer.ok) throw new Refused(told.error);
  return told;
}

function make(tag, text = "", name = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

function say(id, text) {
  if (at(id).textContent !== text) at(id).textContent = text;  // what is read aloud is read once
  at(id).hidden = !text;
}

// What has figures in it keeps its width while it is away: they are laid out by that.
const away = (id, gone) => at(id).classList.toggle("away", gone);

const pairs = (list) => list.map(([name, value]) => {
  const both = make("div");
  both.append(make("dt", name), make("dd", value));
  return both;
});

const moment = (iso) => new Date(iso).toLocaleString();
const counted = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;

// ---- figures

async function draw() {
  const items = await ask(`/page/plots.json?theme=${dark.matches ? "dark" : "light"}`);
  for (const name of Object.keys(sources)) delete sources[name];
  for (const [name, item] of Object.entries(items)) {
    const place = at(`plot-${name}`);
    place.replaceChildren();
    const views = await Bokeh.embed.embed_item(item, place);
    for (const model of views.roots[0].model.references()) {
      if (model.name) (sources[model.name] ??= []).push(model);
    }
  }
  for (const source of sources["rounds"]) source.inspect.connect(() => sayRound(source));
  for (const source of sources["ram"]) source.inspect.connect(() => sayStretch(source));
  shown.stamp = shown.ramStamp = "";
}

function sayRound(source) {
  const [index] = source.inspected.indices;
  if (index !== undefined) say("round-said", source.data.said[index]);
}

function sayStretch(source) {
  const [place] = source.inspected.image_indices;
  if (!place || !shown.ram) return;
  const {shares, blocks, stretch, first_round: first, rounds_per_row: rounds} = shown.ram;
  const share = shares[place.j]?.[place.i];
  const block = blocks.findLast(({column}) => column <= place.i);
  if (share === undefined || !block) return;
  const page = (place.i - block.column) * stretch, round = first + place.j * rounds;
  const when = rounds === 1 ? `round ${round}` : `rounds ${round} to ${round + rounds - 1}`;
  const what = share < 0 ? "not visited" : `${share} % of the visits were fake`;
  say("stretch-said", `${when}, ${block.name} from page ${page.toLocaleString("en")} on: ${what}`);
}

function fill(name, columns) {
  const numbers = {};
  for (const [key, values] of Object.entries(columns)) numbers[key] = values.map((v) => v === null ? NaN : v);
  for (const source of sources[name] ?? []) source.data = numbers;
}

function fillRam(told) {
  const rows = told.shares.length, columns = told.shares[0].length, pages = columns * told.stretch;
  const {ndarray} = Bokeh.require("core/util/ndarray");
  const shares = Float64Array.from(told.shares.flat(), (share) => share < 0 ? NaN : share);
  const image = ndarray(shares, {dtype: "float64", shape: [rows, columns]});
  const top = told.first_round - 0.5, height = rows * told.rounds_per_row;
  shown.ram = told;
  for (const range of sources["stretches"]) range.setv({start: 0, end: pages});
  for (const range of sources["ram rounds"]) range.setv({start: top + height, end: top});
  fill("ram", {image: [image], x: [0], y: [top], dw: [pages], dh: [height]});
  const blocks = told.blocks.map(({name, column, pages: seen}) =>
    `${name} from ${(column * told.stretch).toLocaleString("en")} (${counted(seen, "page")})`);
  const row = told.rounds_per_row === 1 ? "a round" : `${told.rounds_per_row} rounds`;
  const rest = told.files_left ? ` ${counted(told.files_left, "file")} of page records yet to be read.` : "";
  say("ram-said", `A row is ${row}, a column ${counted(told.stretch, "page")}; grey was not visited. Blocks: ${blocks.join(", ")}.${rest}`);
  at("plot-ram").setAttribute("aria-label", "Share of fake pages in what was visited, by round and place in RAM");
}

// ---- one migration

function showOne(told) {
  at("vm").textContent = told.vm;
  at("what").textContent = `migration ${told.migration_id}: ${told.state}, observed at level ${told.level}`;
  at("notes").replaceChildren(...told.notes.map((text) => make("li", text)));
  at("notes").hidden = !told.notes.length;
  say("verdict", told.verdict);
  at("figures").replaceChildren(...pairs(told.figures));
  at("behind").hidden = !told.verdict_figures.length;
  at("verdict-figures").replaceChildren(...pairs(told.verdict_figures));
  away("drawn", told.arrived || !told.rows.length);
  for (const name of ["marks", "rounds", "sums"]) fill(name, told[name]);
  const untold = told.rounds.untold_top.some((pages) => pages);
  for (const item of sources["untold in legend"]) item.visible = untold;
  const drawn = told.rounds.said.length;
  at("plot-pages").setAttribute("aria-label", `Bars of ${counted(drawn, "round")}; the table below has the figures. ${told.rounds.said.at(-1) ?? ""}`);
  at("plot-bytes").setAttribute("aria-label", told.figures.map((pair) => pair.join(" ")).join(", "));
  const unseen = ["sent", "saved"].filter((name) => told.sums[name].every((value) => value === null));
  say("bytes-none", unseen.length ? `Not seen of this migration: bytes ${unseen.join(", bytes ")}.` : "");
  const toggles = told.toggles.length ? told.toggles : ["none"];
  at("toggles").replaceChildren(...toggles.map((text) => make("li", text)));
  const total = Number(told.figures[0][1].replaceAll(",", ""));
  at("rows-said").textContent = total > told.rows.length
    ? `The last ${told.rows.length} of ${counted(total, "round")}, the latest first; the figures have the last ${drawn.toLocaleString("en")}.`
    : "The latest first, in pages; sent and saved in bytes, secs in seconds; “-” is not seen.";
  at("heads").replaceChildren(...told.heads.map(([text, side]) => make("th", text, side)));
  at("rows").replaceChildren(...told.rows.toReversed().map((cells) => {
    const row = make("tr");
    row.append(...cells.map((text, number) => make("td", text, told.heads[number][1])));
    return row;
  }));
}

async function lookAtOne(key) {
  const listed = state.migrations.find((each) => each.key === key);
  const other = key !== shown.key;
  if (other) away("ram", true);
  if (other || listed?.stamp !== shown.stamp) {
    const told = await ask(`/page/migration.json?key=${encodeURIComponent(key)}`);
    say("problem", "");
    away("one", false);
    showOne(told);
    Object.assign(shown, {key, stamp: told.stamp});
    if (other) {
      say("ram-none", "Looking for page records …");
      say("round-said", "Point at a bar for the figures of its round.");
      say("stretch-said", "Point at the map for a place in RAM.");
    }
  }
  if (other || shown.ramLeft || shown.ramStamp !== shown.stamp) {
    const told = await ask(`/page/ram.json?key=${encodeURIComponent(key)}`);
    away("ram", !told.shares);
    say("ram-none", told.shares ? "" : "No page records: fakedirty observe --pages --out DIR, or observe.pages of the service, keeps them.");
    if (told.shares) fillRam(told);
    Object.assign(shown, {ramStamp: shown.stamp, ramLeft: told.files_left ?? 0});
  }
}

// ---- all of them

function showList(key) {
  const focused = document.activeElement?.closest("#list a")?.hash;
  at("list").replaceChildren(...state.migrations.map((each) => {
    const item = make("li"), link = make("a"), text = make("small");
    link.href = `#${each.key}`;
    if (each.key === key) link.setAttribute("aria-current", "true");
    const rounds = each.rounds === null ? "" : `, ${counted(each.rounds, "round")}`;
    text.append(make("span", (each.running ? "▶ " : "") + each.state, `state ${each.running ? "running" : each.state}`),
      `${rounds}, ${each.total}`, make("br"), moment(each.started_at));
    link.append(make("b", each.vm), text);
    item.append(link);
    return item;
  }));
  if (focused) [...at("list").querySelectorAll("a")].find((link) => link.hash === focused)?.focus({preventScroll: true});
  say("older", state.older ? `${counted(state.older, "older migration")}: fakedirty runs list, on the host.` : "");
  say("broken", state.broken.length ? `Left out, as they cannot be read: ${state.broken.join(", ")}` : "");
}

// A guest that has come to this host, from this host maybe, does not push aside the migration that it came by.
function chosen() {
  const first = state.migrations.find((each) => each.state !== "arrived") ?? state.migrations[0];
  return location.hash.slice(1) || first?.key || "";
}

async function look() {
  state = await ask("/page/state.json");
  const key = chosen();
  at("host").textContent = `on ${state.host}`;
  at("version").textContent = state.version;
  document.title = `fakedirty on ${state.host}`;
  at("none").hidden = Boolean(key);
  if (!key) away("one", true);
  say("attached", state.attached.length ? `Observed now: ${state.attached.join(", ")}.` : "No QEMU is observed now: one that is started is found by itself.");
  showList(key);
  if (key) {
    try {
      await lookAtOne(key);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      away("one", false);
      say("problem", `This migration cannot be shown: ${error.message}`);
    }
  }
}

async function tick() {
  clearTimeout(timer);
  if (shown.busy || document.hidden) return;
  shown.busy = true;
  try {
    if (!sources["rounds"]) await draw();
    await look();
    failures = 0;
    at("link").className = "";
    at("link").removeAttribute("role");
    at("link").textContent = `as of ${new Date().toLocaleTimeString()}`;
  } catch (error) {
    failures += 1;
    at("link").className = "lost";
    at("link").setAttribute("role", "alert");
    at("link").textContent = `not up to date, trying again: ${error.message}`;
  }
  shown.busy = false;
  const running = state?.migrations.some((each) => each.running) || shown.ramLeft;
  timer = setTimeout(tick, failures ? Math.min(LOST_MS, failures * 2000) : running ? RUNNING_MS : IDLE_MS);
}

Bokeh.set_log_level("error");  // it warns of a line without a point, as where bytes are not seen
dark.addEventListener("change", () => { delete sources["rounds"]; tick(); });
document.addEventListener("visibilitychange", tick);
addEventListener("hashchange", () => { at("vm").scrollIntoView(); tick(); });
at("jump").addEventListener("click", () => at("list-head").scrollIntoView());
tick();
