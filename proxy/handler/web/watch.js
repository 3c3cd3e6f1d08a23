"use strict";
// Asks for timed events by fetch or by EventSource, and notes when what arrived. The credential is used here and kept nowhere.

const PATIENCE = 30_000; // ms after the last event is due
const STREAM = "text/event-stream";

/** Return an empty note of one stream; `end` is told when it is over: done, cut, silent, refused, untried or stopped. */
function observation({ transport, size }, { count, interval }) {
  return { transport, size, count, interval, began: null, headers: {}, sent: [], arrived: [], chunks: [], end: null };
}

/** Watch one stream to its end, which always comes. *seen* is filled on the way. */
async function watch(seen, asked, stop, patience = PATIENCE) {
  const url = new URL(`test/stream?count=${seen.count}&interval=${seen.interval / 1000}&size=${seen.size}`, document.baseURI);
  const giveUp = new AbortController();
  const timer = setTimeout(() => giveUp.abort("silent"), seen.count * seen.interval + patience);
  const leave = () => giveUp.abort("stopped");
  stop.addEventListener("abort", leave);
  seen.began = performance.now();
  try {
    await (seen.transport === "fetch" ? byFetch : byEventSource)(url, seen, asked, giveUp.signal);
  } catch {
    if (giveUp.signal.aborted) seen.end ??= giveUp.signal.reason;
    else if (seen.headAt === undefined) refused(seen, seen.reason ?? "no answer at all");
    else seen.end ??= "cut";
  } finally {
    clearTimeout(timer);
    stop.removeEventListener("abort", leave);
    seen.endedAt = since(seen);
    giveUp.abort(); // whatever else would come
  }
  seen.protocol = await protocolOf(url.href, seen.began);
}

async function byFetch(url, seen, { secret, isTicket }, signal) {
  if (isTicket) url.searchParams.set("ticket", secret);
  const headers = { Accept: STREAM, ...(secret && !isTicket ? bearer(secret) : {}) };
  const response = await fetch(url, { headers, cache: "no-store", signal });
  seen.headAt = since(seen);
  seen.status = response.status;
  seen.headers = Object.fromEntries(response.headers);
  if (response.status !== 200 || !seen.headers["content-type"]?.startsWith(STREAM)) {
    refused(seen, await reasonOf(response));
    return;
  }
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  const feed = eventParser((name, data) => heard(seen, name, data));
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    seen.chunks.push({ at: since(seen), bytes: piece.value.length });
    feed(decoder.decode(piece.value, { stream: true }));
  }
  seen.end ??= "cut";
}

async function byEventSource(url, seen, { secret, isTicket }, signal) {
  const ticket = secret && !isTicket ? await ticketFor(secret, seen, signal) : secret;
  if (seen.end) return;
  if (ticket) url.searchParams.set("ticket", ticket);
  seen.began = performance.now(); // the ticket's time is not the stream's
  const source = new EventSource(url);
  try {
    await new Promise((resolve, reject) => {
      source.onopen = () => {
        seen.headAt = since(seen);
      };
      source.onerror = () => {
        if (source.readyState === EventSource.CLOSED) seen.reason = "no event stream came, and EventSource tells nothing more";
        reject();
      };
      for (const name of ["tick", "done"]) {
        source.addEventListener(name, ({ data }) => {
          heard(seen, name, data);
          if (seen.end) resolve();
        });
      }
      signal.addEventListener("abort", reject);
    });
  } finally {
    source.close(); // else it would ask again
  }
}

async function ticketFor(secret, seen, signal) {
  const response = await fetch(new URL("auth/tickets", document.baseURI), {
    method: "POST",
    headers: { "Content-Type": "application/json", ...bearer(secret) },
    body: JSON.stringify({ method: "GET", path: "/test/stream" }),
    cache: "no-store",
    signal,
  });
  if (response.ok) return (await response.json()).ticket;
  seen.status = response.status;
  refused(seen, `no ticket: ${await reasonOf(response)}`);
  return "";
}

function bearer(secret) {
  return { Authorization: `Bearer ${secret}` };
}

function heard(seen, name, data) {
  if (name === "done") seen.end = "done";
  if (name !== "tick") return;
  seen.sent.push(JSON.parse(data).elapsed_ms);
  seen.arrived.push(since(seen));
}

function since({ began }) {
  return began === null ? 0 : performance.now() - began;
}

function refused(seen, reason) {
  seen.end = "refused";
  seen.reason = reason;
}

/** Return in one line why an answer is no stream: the proxy's own words where it has any. */
async function reasonOf(response) {
  const type = response.headers.get("content-type") ?? "no content type";
  if (response.status === 200) return `an answer of ${type.split(";")[0]} instead of events`;
  try {
    const { error } = await response.json();
    return `${response.status} ${error.code}: ${error.message}`;
  } catch {
    return `${response.status} ${response.statusText}`.trim();
  }
}

/** Return a function that takes text and tells the name and data of each event in it (WHATWG HTML 9.2.6). */
function eventParser(tell) {
  let rest = "";
  let name = "message";
  let data = [];
  const line = (text) => {
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(text);
    if (field === "event") name = value;
    else if (field === "data") data.push(value);
    else if (text === "") {
      if (data.length) tell(name, data.join("\n"));
      [name, data] = ["message", []];
    }
  };
  return (text) => {
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    lines.forEach(line);
  };
}

/** Return the protocol of a request that is over, as the browser names it; it tells so a moment after the end. */
async function protocolOf(url, began) {
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const entry = performance.getEntriesByName(url).findLast(({ startTime }) => startTime >= began - 1);
    if (entry) return entry.nextHopProtocol;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return "";
}
