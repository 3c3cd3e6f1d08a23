"use strict";
// What the arrivals of timed events tell about a path. Pure: times in, words out. `llm-proxy doctor` gives the same verdicts.
// Times are milliseconds: `arrived` counts from the request, `sent` from when the proxy began to answer.

const TOGETHER = 50; // events so near to each other came at once
const MOST_OF_IT = 0.8; // of the sending, before the first event came: all of it was held back
const SPREAD = 200; // events that were sent in less are no test
const NARROW = 0.2; // of the gap with which an event was sent: it came together with the one before it …
const WIDE = 1.5; // … which something held back, if its own gap was so many times the sender's; bursts of two come near to 2

const GRAVITY = ["STREAMING", "COALESCED", "BUFFERED", "CUT", "REFUSED"];

/** Return the word for what was seen of one stream, and what belongs to it in a few words. */
function judge(seen) {
  const { arrived, count, end } = seen;
  if (end === "refused") return { word: "REFUSED", says: seen.reason };
  if (end !== "done" || arrived.length < count) return { word: "CUT", says: cutAt(seen) };
  if (isBuffered(seen)) return { word: "BUFFERED", says: `all at once after ${span(arrived[0])}` };
  if (isCoalesced(seen)) return { word: "COALESCED", says: `up to ${largestBurst(seen)} events at once` };
  return { word: "STREAMING", says: `each of ${count} events came when it was sent` };
}

/** Return the worst of several verdicts. */
function worst(verdicts) {
  return verdicts.reduce((one, other) => (GRAVITY.indexOf(other.word) > GRAVITY.indexOf(one.word) ? other : one));
}

function cutAt({ arrived, count, end, endedAt }) {
  const how = end === "silent" ? "; then nothing came for so long that this page gave up" : "";
  return `at ${span(endedAt)}, after ${arrived.length} of ${count} events${how}`;
}

function isBuffered({ arrived, sent }) {
  const sending = sent.at(-1) - sent[0];
  return arrived.at(-1) - arrived[0] <= TOGETHER && sending >= SPREAD && arrived[0] - sent[0] >= MOST_OF_IT * sending;
}

function isCoalesced(seen) {
  const gaps = gapsOf(seen);
  const held = ({ arrived, sent }) => arrived > Math.max(WIDE * sent, TOGETHER);
  return [...startOf(seen), ...gaps].some(held) && gaps.some(({ arrived, sent }) => arrived < NARROW * sent);
}

/** Return the wait for the first event as a gap: a compressor that collects its first bytes shows nowhere else. */
function startOf({ arrived, sent }) {
  return sent.at(-1) - sent[0] < SPREAD ? [] : [{ arrived: arrived[0] - sent[0], sent: sent[1] - sent[0] }];
}

function gapsOf({ arrived, sent }) {
  return arrived.slice(1).map((at, index) => ({ arrived: at - arrived[index], sent: sent[index + 1] - sent[index] }));
}

function largestBurst(seen) {
  let largest = 1;
  let burst = 1;
  for (const { arrived, sent } of gapsOf(seen)) {
    burst = arrived < Math.max(TOGETHER, NARROW * sent) ? burst + 1 : 1;
    largest = Math.max(largest, burst);
  }
  return largest;
}

/** Return how much later than the quickest of them each event came; the way that all have in common is unknown. */
function delays({ arrived, sent }) {
  const quickest = Math.min(...arrived.map((at, index) => at - sent[index]));
  return arrived.map((at, index) => at - sent[index] - quickest);
}

/** Return milliseconds as people say them. */
function span(ms) {
  return ms < 999.5 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
