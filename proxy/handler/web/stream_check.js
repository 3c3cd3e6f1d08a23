"use strict";
// The page itself: reads the form, watches the streams one after the other, shows what is seen of them, and tells it as text.

const byId = (id) => document.getElementById(id);
const MARKS = { STREAMING: "✓", COALESCED: "⚠", BUFFERED: "✗", CUT: "✗", REFUSED: "✗" };
const STREAMS = {
  fetch: { title: "fetch", transport: "fetch", size: 0 },
  EventSource: { title: "EventSource", transport: "EventSource", size: 0 },
  large: { title: "fetch, large events", transport: "fetch", size: 1024 }, // enough for compressors to take them
};
const UNTRIED = {
  refused: "the first stream was refused",
  ticket: "a ticket opens one stream",
};

let running = null; // what stops the check that runs
let shown = []; // the lanes on the page

function readForm() {
  const secret = byId("secret").value.trim();
  return {
    secret,
    isTicket: secret !== "" && document.querySelector("[name=kind]:checked").value === "ticket",
    streams: byId("streams").value.split(" "),
    count: byId("count").valueAsNumber,
    interval: byId("interval").valueAsNumber * 1000,
  };
}

async function check() {
  const asked = readForm();
  const lanes = asked.streams.map((name) => new Lane(STREAMS[name], asked));
  running = new AbortController();
  begin(lanes, asked);
  for (const lane of lanes) {
    const reason = whyNot(lane, lanes[0], asked, running.signal);
    if (reason) lane.leaveOut(reason);
    else await lane.follow(asked, running.signal);
  }
  running = null;
  finish(lanes);
}

function whyNot(lane, first, asked, stop) {
  if (stop.aborted) return "it was stopped";
  if (lane === first) return "";
  if (first.seen.end === "refused") return UNTRIED.refused;
  return asked.isTicket ? UNTRIED.ticket : "";
}

function begin(lanes, { count, interval }) {
  byId("go").textContent = "Stop";
  shown = lanes;
  byId("lanes").replaceChildren(...lanes.map((lane) => lane.element));
  lanes.forEach((lane) => lane.draw());
  byId("telling").hidden = true;
  byId("copied").textContent = "";
  show("", "Listening …", `This takes about ${span(lanes.length * (count - 1) * interval)}.`);
}

function finish(lanes) {
  byId("go").textContent = "Check";
  const judged = lanes.filter((lane) => lane.verdict);
  if (judged.length === 0) {
    show("", "Stopped", "");
    return;
  }
  const verdict = worst(judged.map((lane) => lane.verdict));
  const told = judged.find((lane) => lane.verdict === verdict);
  const says = judged.every((lane) => lane.verdict.word === verdict.word) ? verdict.says : `${told.title}: ${verdict.says}`;
  const remedy = remedyFor(verdict, told.seen);
  show(verdict.word, verdict.word, says, remedy);
  byId("report").textContent = reportOf(lanes, `${verdict.word}, ${says}`, remedy);
  byId("telling").hidden = false;
}

function show(word, title, says, remedy = null) {
  byId("verdict").dataset.word = word;
  byId("word").textContent = title;
  byId("says").textContent = says;
  byId("remedy").hidden = remedy === null;
  byId("cause").replaceChildren(...prose(remedy?.cause ?? ""));
  byId("fix").replaceChildren(...prose(remedy?.fix ?? ""));
}

/** Return text with the words in `…` as code. */
function prose(text) {
  return text.split("`").map((part, index) => (index % 2 ? made("code", part) : part));
}

function made(name, text) {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}

/** One stream on the page. */
class Lane {
  constructor(stream, asked) {
    this.title = stream.title;
    this.seen = observation(stream, asked);
    this.verdict = null;
    this.element = byId("lane").content.firstElementChild.cloneNode(true);
    this.find("h2").textContent = this.title;
    this.tell("waiting");
  }

  get note() {
    return this.find(".note").textContent;
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  tell(badge, note = "") {
    this.find(".badge").textContent = badge;
    this.find(".note").textContent = note;
  }

  leaveOut(reason) {
    this.seen.end = "untried";
    this.tell("not tried", reason);
    this.draw();
  }

  async follow(asked, stop) {
    this.tell("listening");
    this.animate();
    await watch(this.seen, asked, stop);
    if (this.seen.end === "stopped") this.tell("stopped");
    else this.conclude();
    this.draw();
  }

  conclude() {
    this.verdict = judge(this.seen);
    this.element.dataset.word = this.verdict.word;
    this.tell(`${MARKS[this.verdict.word]} ${this.verdict.word}`, this.verdict.says);
  }

  animate() {
    this.draw();
    if (this.seen.end === null) requestAnimationFrame(() => this.animate());
  }

  draw() {
    drawTimeline(this.find("svg"), this.seen, since(this.seen));
    this.find(".facts").replaceChildren(...factsOf(this.seen).map(([name, value]) => fact(name, value)));
    this.find("tbody").replaceChildren(...rowsOf(this.seen).map(tableRow));
  }
}

function fact(name, value) {
  const pair = document.createElement("div");
  pair.append(made("dt", name), made("dd", value));
  return pair;
}

function tableRow(cells) {
  const row = document.createElement("tr");
  row.append(...cells.map((cell) => made("td", cell)));
  return row;
}

/** Return what is told of a stream besides its events, as pairs. */
function factsOf(seen) {
  const { headAt, arrived, headers, transport } = seen;
  const told = [
    ["headers after", headAt === undefined ? "–" : span(headAt)],
    ["first event after", arrived.length ? span(arrived[0]) : "–"],
    ["most delayed event", arrived.length ? span(Math.max(...delays(seen))) : "–"],
    ["protocol", seen.protocol || "–"],
  ];
  if (transport !== "fetch") return told;
  return [...told, ["encoding", headers["content-encoding"] ?? "none"], ["server", headers.via ?? headers.server ?? "–"], ["chunks", chunksOf(seen)]];
}

function chunksOf({ chunks }) {
  if (chunks.length === 0) return "–";
  const sizes = chunks.map(({ bytes }) => bytes);
  const [least, most] = [Math.min(...sizes), Math.max(...sizes)];
  const size = least === most ? `${most} B` : `${least} to ${most} B`;
  const pace = chunks.length > 1 ? `, one every ${span((chunks.at(-1).at - chunks[0].at) / (chunks.length - 1))}` : "";
  return `${chunks.length} of ${size}${pace}`;
}

function rowsOf(seen) {
  const late = delays(seen);
  return seen.arrived.map((at, index) => [index + 1, seen.sent[index], at, late[index]].map(Math.round));
}

/** Return everything as text, without the credential. */
function reportOf(lanes, verdict, remedy) {
  const head = [
    `Stream check of ${new URL("test/stream", document.baseURI).href}, ${new Date().toISOString()}`,
    `verdict: ${verdict}`,
    ...(remedy ? [`cause: ${remedy.cause}`, `mends it: ${remedy.fix}`] : []),
    `browser: ${navigator.userAgent}`,
  ];
  return [...head, ...lanes.flatMap(laneReport)].join("\n");
}

function laneReport({ title, seen, verdict, note }) {
  const head = `\n${title}, ${seen.count} events, one every ${span(seen.interval)}: ${verdict?.word ?? "not tried"}, ${note}`;
  const headers = Object.entries(seen.headers).map(([name, value]) => `    ${name}: ${value}`);
  const events = rowsOf(seen).map((cells) => cells.map((cell) => String(cell).padStart(9)).join(""));
  const table = events.length ? ["    event     sent  arrived     late  (ms)", ...events] : [];
  return [head, ...factsOf(seen).map(([name, value]) => `  ${name}: ${value}`), ...headers, ...table];
}

async function copyReport() {
  try {
    await navigator.clipboard.writeText(byId("report").textContent);
    byId("copied").textContent = "Copied.";
  } catch {
    // only pages that came over TLS or from this machine may write to the clipboard
    byId("whole").open = true;
    getSelection().selectAllChildren(byId("report"));
    byId("copied").textContent = "Selected: now copy it.";
  }
}

function fill(asked) {
  for (const id of ["count", "interval", "streams"]) {
    const field = byId(id);
    const usual = field.value;
    field.value = asked.get(id) ?? usual;
    field.value ||= usual; // nonsense leaves a field empty
  }
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) running.abort();
  else check();
});
addEventListener("keydown", ({ key }) => {
  if (key === "Escape") running?.abort();
});
addEventListener("resize", () => shown.forEach((lane) => lane.draw()));
byId("copy").addEventListener("click", copyReport);
fill(new URLSearchParams(location.search));
byId("secret").focus();
