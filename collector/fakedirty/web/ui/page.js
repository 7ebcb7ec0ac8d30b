"use strict";
// Fetches the list of migrations again and again, and the migration that is shown whenever it has changed.
// Text from the server goes into the page only as text: names of VMs and of RAM blocks can be anything.

const RUNNING_MS = 1000, IDLE_MS = 5000, LOST_MS = 15000, PATIENCE_MS = 30000;
const dark = matchMedia("(prefers-color-scheme: dark)");
const at = (id) => document.getElementById(id);
const sources = {};       // models of the plots, by name; those of one name have the same data
const shown = {key: "", stamp: "", ramStamp: "", ramLeft: 0, ram: null, busy: false};
let state = null, timer = 0, failures = 0;

class Refused extends Error {}

async function fetchJson(path) {
  const answer = await fetch(path, {cache: "no-cache", credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE_MS)});
  const data = await answer.json().catch(() => ({error: `${answer.status} ${answer.statusText}`}));
  if (answer.status === 503) throw new Error(data.error);
  if (!answer.ok) throw new Refused(data.error);
  return data;
}

function make(tag, text = "", name = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

function setText(id, text) {
  if (at(id).textContent !== text) at(id).textContent = text;  // so that a screen reader reads it once
  at(id).hidden = !text;
}

// A part with plots keeps its width while it is away: their layout depends on it.
const away = (id, gone) => at(id).classList.toggle("away", gone);

const pairs = (list) => list.map(([name, value]) => {
  const both = make("div");
  both.append(make("dt", name), make("dd", value));
  return both;
});

const moment = (iso) => new Date(iso).toLocaleString();
const counted = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;

// ---- plots

async function draw() {
  const items = await fetchJson(`/page/plots.json?theme=${dark.matches ? "dark" : "light"}`);
  for (const name of Object.keys(sources)) delete sources[name];
  for (const [name, item] of Object.entries(items)) {
    const place = at(`plot-${name}`);
    place.replaceChildren();
    const views = await Bokeh.embed.embed_item(item, place);
    for (const model of views.roots[0].model.references()) {
      if (model.name) (sources[model.name] ??= []).push(model);
    }
  }
  for (const source of sources["rounds"]) source.inspect.connect(() => showRound(source));
  for (const source of sources["downtime"]) source.inspect.connect(() => showPart(source));
  for (const source of sources["ram"]) source.inspect.connect(() => showStretch(source));
  shown.stamp = shown.ramStamp = "";
}

function showRound(source) {
  const [index] = source.inspected.indices;
  if (index !== undefined) setText("round-text", source.data.text[index]);
}

function showPart(source) {
  const [index] = source.inspected.indices;
  if (index !== undefined) setText("part-text", source.data.text[index]);
}

function showStretch(source) {
  const [place] = source.inspected.image_indices;
  if (!place || !shown.ram) return;
  const {shares, blocks, stretch, first_round: first, rounds_per_row: rounds} = shown.ram;
  const share = shares[place.j]?.[place.i];
  const block = blocks.findLast(({column}) => column <= place.i);
  if (share === undefined || !block) return;
  const page = (place.i - block.column) * stretch, round = first + place.j * rounds;
  const when = rounds === 1 ? `round ${round}` : `rounds ${round} to ${round + rounds - 1}`;
  const what = share < 0 ? "not visited" : `${share} % of the visits were fake`;
  setText("stretch-text", `${when}, ${block.name} from page ${page.toLocaleString("en")} on: ${what}`);
}

function fill(name, columns) {
  const numbers = {};
  for (const [key, values] of Object.entries(columns)) numbers[key] = values.map((v) => v === null ? NaN : v);
  for (const source of sources[name] ?? []) source.data = numbers;
}

function fillRam(data) {
  const rows = data.shares.length, columns = data.shares[0].length, pages = columns * data.stretch;
  const {ndarray} = Bokeh.require("core/util/ndarray");
  const shares = Float64Array.from(data.shares.flat(), (share) => share < 0 ? NaN : share);
  const image = ndarray(shares, {dtype: "float64", shape: [rows, columns]});
  const top = data.first_round - 0.5, height = rows * data.rounds_per_row;
  shown.ram = data;
  for (const range of sources["stretches"]) range.setv({start: 0, end: pages});
  for (const range of sources["ram rounds"]) range.setv({start: top + height, end: top});
  fill("ram", {image: [image], x: [0], y: [top], dw: [pages], dh: [height]});
  const blocks = data.blocks.map(({name, column, pages: seen}) =>
    `${name} from ${(column * data.stretch).toLocaleString("en")} (${counted(seen, "page")})`);
  const row = data.rounds_per_row === 1 ? "a round" : `${data.rounds_per_row} rounds`;
  const rest = data.files_left ? ` ${counted(data.files_left, "file")} of page records yet to be read.` : "";
  setText("ram-text", `A row is ${row}, a column ${counted(data.stretch, "page")}; grey was not visited. Blocks: ${blocks.join(", ")}.${rest}`);
  at("plot-ram").setAttribute("aria-label", "Share of fake pages in what was visited, by round and place in RAM");
}

// ---- one migration

function showOne(data) {
  at("vm").textContent = data.vm;
  at("what").textContent = `migration ${data.migration_id}: ${data.state}, observed at level ${data.level}`;
  at("notes").replaceChildren(...data.notes.map((text) => make("li", text)));
  at("notes").hidden = !data.notes.length;
  const other = at("other-half");
  other.hidden = !data.other_half;
  other.firstElementChild.textContent = data.other_half?.text ?? "";
  other.firstElementChild.href = `#${data.other_half?.key ?? ""}`;
  setText("verdict", data.verdict);
  setText("stall", data.stall);
  at("numbers").replaceChildren(...pairs(data.numbers));
  at("behind").hidden = !data.verdict_numbers.length;
  at("verdict-numbers").replaceChildren(...pairs(data.verdict_numbers));
  away("drawn", data.arrived || !data.rows.length);
  for (const name of ["marks", "rounds", "sums"]) fill(name, data[name]);
  fill("downtime", data.downtime.bars);
  away("blackout", !data.downtime.words);
  away("downtime-drawn", !data.downtime.bars.text.length);
  setText("downtime-text", data.downtime.words);
  at("plot-downtime").setAttribute("aria-label", `Bars of the parts of the downtime. ${data.downtime.bars.text.join("; ")}`);
  const unclassified = data.rounds.unclassified_top.some((pages) => pages);
  for (const item of sources["unclassified in legend"]) item.visible = unclassified;
  const drawn = data.rounds.text.length;
  at("plot-pages").setAttribute("aria-label", `Bars of ${counted(drawn, "round")}; the table below has the numbers. ${data.rounds.text.at(-1) ?? ""}`);
  at("plot-bytes").setAttribute("aria-label", data.numbers.map((pair) => pair.join(" ")).join(", "));
  const unseen = ["sent", "saved"].filter((name) => data.sums[name].every((value) => value === null));
  setText("bytes-none", unseen.length ? `Not seen of this migration: bytes ${unseen.join(", bytes ")}.` : "");
  const toggles = data.toggles.length ? data.toggles : ["none"];
  at("toggles").replaceChildren(...toggles.map((text) => make("li", text)));
  const total = Number(data.numbers[0][1].replaceAll(",", ""));
  at("rows-text").textContent = total > data.rows.length
    ? `The last ${data.rows.length} of ${counted(total, "round")}, the latest first; the plots have the last ${drawn.toLocaleString("en")}.`
    : "The latest first, in pages; sent and saved in bytes, secs in seconds; “-” was not seen.";
  at("heads").replaceChildren(...data.heads.map(([text, side]) => make("th", text, side)));
  at("rows").replaceChildren(...data.rows.toReversed().map((cells) => {
    const row = make("tr");
    row.append(...cells.map((text, number) => make("td", text, data.heads[number][1])));
    return row;
  }));
}

function showProgress(progress) {
  const known = Boolean(progress) && progress.ratio !== null;
  setText("left", progress?.words ?? "");
  at("share").hidden = !known;
  if (known) at("share").value = progress.ratio;
  at("progress").hidden = !progress?.words;
}

async function lookAtOne(key) {
  const listed = state.migrations.find((each) => each.key === key);
  const other = key !== shown.key;
  if (other) away("ram", true);
  if (other || listed?.stamp !== shown.stamp) {
    const data = await fetchJson(`/page/migration.json?key=${encodeURIComponent(key)}`);
    setText("problem", "");
    away("one", false);
    showOne(data);
    Object.assign(shown, {key, stamp: data.stamp});
    if (other) {
      setText("ram-none", "Looking for page records …");
      setText("round-text", "Point at a bar for the numbers of its round.");
      setText("part-text", "Point at a bar for the part of the downtime that it is. Parts overlap; each moment counts once.");
      setText("stretch-text", "Point at the map for a place in RAM.");
    }
  }
  showProgress(listed?.progress);
  if (other || shown.ramLeft || shown.ramStamp !== shown.stamp) {
    const data = await fetchJson(`/page/ram.json?key=${encodeURIComponent(key)}`);
    away("ram", !data.shares);
    setText("ram-none", data.shares ? "" : "No page records: fakedirty observe --pages --out DIR, or observe.pages of the service, records them.");
    if (data.shares) fillRam(data);
    Object.assign(shown, {ramStamp: shown.stamp, ramLeft: data.files_left ?? 0});
  }
}

// ---- all of them

function showList(key) {
  const focused = document.activeElement?.closest("#list a")?.hash;
  at("list").replaceChildren(...state.migrations.map((each) => {
    const item = make("li"), link = make("a"), text = make("small");
    link.href = `#${each.key}`;
    if (each.key === key) link.setAttribute("aria-current", "true");
    const left = each.progress?.words ? `, ${each.progress.words}` : "";
    const rounds = each.rounds === null ? "" : `, ${counted(each.rounds, "round")}`;
    text.append(make("span", (each.running ? "▶ " : "") + each.state, `state ${each.running ? "running" : each.state}`),
      `${rounds}, ${each.total}${left}`, make("br"), moment(each.started_at));
    link.append(make("b", each.vm), text);
    item.append(link);
    return item;
  }));
  if (focused) [...at("list").querySelectorAll("a")].find((link) => link.hash === focused)?.focus({preventScroll: true});
  setText("older", state.older ? `${counted(state.older, "older migration")}: fakedirty runs list, on the host.` : "");
  setText("broken", state.broken.length ? `Left out, as they cannot be read: ${state.broken.join(", ")}` : "");
}

// A guest that has arrived, perhaps from this very host, does not replace the migration by which it came.
function chosen() {
  const first = state.migrations.find((each) => each.state !== "arrived") ?? state.migrations[0];
  return location.hash.slice(1) || first?.key || "";
}

async function look() {
  state = await fetchJson("/page/state.json");
  const key = chosen();
  at("host").textContent = `on ${state.host}`;
  at("version").textContent = state.version;
  document.title = `fakedirty on ${state.host}`;
  at("none").hidden = Boolean(key);
  if (!key) away("one", true);
  setText("attached", state.attached.length ? `Observed now: ${state.attached.join(", ")}.` : "No QEMU is observed now. One that starts is found automatically.");
  showList(key);
  if (key) {
    try {
      await lookAtOne(key);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      away("one", false);
      setText("problem", `This migration cannot be shown: ${error.message}`);
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

Bokeh.set_log_level("error");  // it warns of a line without points, as where bytes are not seen
dark.addEventListener("change", () => { delete sources["rounds"]; tick(); });
document.addEventListener("visibilitychange", tick);
addEventListener("hashchange", () => { at("vm").scrollIntoView(); tick(); });
at("jump").addEventListener("click", () => at("list-head").scrollIntoView());
tick();
