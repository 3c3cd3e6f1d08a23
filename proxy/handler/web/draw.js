"use strict";
// Draws one stream as two lines of time: when the proxy sent each event and when it arrived, joined by its way between them.

const LEFT = 62; // px: the names of the lines
const RIGHT = 14;
const SENT_Y = 22;
const ARRIVED_Y = 92;
const CHUNK_HEIGHT = 34;
const CHUNK_Y = ARRIVED_Y + 16 + CHUNK_HEIGHT; // foot of the chunks' bars
const AXIS = 30; // px below
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600]; // s between marks of the axis
const MARK_WIDTH = 64; // px that a mark needs

/** Draw *seen* into *svg*, as it is after *now* ms. */
function drawTimeline(svg, seen, now) {
  const width = Math.max(svg.clientWidth, 260);
  const end = Math.max(seen.interval * (seen.count - 1), seen.endedAt ?? now) * 1.02;
  const x = (ms) => LEFT + (ms / end) * (width - LEFT - RIGHT);
  const foot = seen.transport === "fetch" ? CHUNK_Y : ARRIVED_Y;
  svg.setAttribute("viewBox", `0 0 ${width} ${foot + AXIS}`);
  svg.setAttribute("height", foot + AXIS);
  svg.replaceChildren(
    ...axis(x, end, foot, (width - LEFT - RIGHT) / MARK_WIDTH),
    ...names(foot, width),
    ...expected(seen, x),
    ...ways(seen, x),
    ...bars(seen, x),
    ...ending(seen, x, foot, now),
  );
  svg.setAttribute("aria-label", described(seen));
}

function shape(name, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

function line(x1, y1, x2, y2, kind) {
  return shape("line", { x1, y1, x2, y2, class: kind });
}

function axis(x, end, foot, most) {
  const step = STEPS.find((each) => end / 1000 / each <= most) ?? end / 1000;
  const marks = [];
  for (let second = 0; second * 1000 <= end; second += step) {
    const at = x(second * 1000);
    marks.push(line(at, SENT_Y - 10, at, foot, "grid"));
    marks.push(shape("text", { x: at, y: foot + 22, "text-anchor": "middle" }, `${+second.toFixed(1)} s`));
  }
  return marks;
}

function names(foot, width) {
  const rows = [["sent", SENT_Y], ["arrived", ARRIVED_Y], ["chunks", CHUNK_Y]];
  return rows.filter(([, y]) => y <= foot).flatMap(([name, y]) => [
    line(LEFT, y, width - RIGHT, y, "rail"),
    shape("text", { x: LEFT - 12, y: y + 4, "text-anchor": "end", class: "name" }, name),
  ]);
}

/** When the events must have been sent that have not arrived: only the interval tells. */
function expected(seen, x) {
  if (seen.end === "refused") return [];
  const first = seen.arrived.length ? departures(seen)[0] : 0;
  const missing = Array.from({ length: seen.count }, (_, index) => index).slice(seen.arrived.length);
  return missing.map((index) => shape("circle", { cx: x(first + index * seen.interval), cy: SENT_Y, r: 3, class: "expected" }));
}

function ways(seen, x) {
  const sent = departures(seen);
  const late = delays(seen);
  const isLate = (index) => late[index] > Math.max(TOGETHER, seen.interval / WIDE);
  const order = [...seen.arrived.keys()].sort((one, other) => isLate(one) - isLate(other)); // the late ones stay to be seen
  return order.flatMap((index) => {
    const [from, to, kind] = [x(sent[index]), x(seen.arrived[index]), isLate(index) ? "late" : "timely"];
    return [
      line(from, SENT_Y, to, ARRIVED_Y, `way ${kind}`),
      shape("circle", { cx: from, cy: SENT_Y, r: 3, class: "sent" }),
      shape("circle", { cx: to, cy: ARRIVED_Y, r: 4.5, class: `arrival ${kind}` }),
    ];
  });
}

/** Put the sender's times on the axis of arrivals: the fastest event took no time. */
function departures(seen) {
  const late = delays(seen);
  return seen.arrived.map((at, index) => at - late[index]);
}

function bars(seen, x) {
  const largest = Math.max(...seen.chunks.map(({ bytes }) => bytes));
  return seen.chunks.map(({ at, bytes }) => {
    const height = Math.max(2, (bytes / largest) * CHUNK_HEIGHT);
    return shape("rect", { x: x(at) - 2, y: CHUNK_Y - height, width: 4, height, rx: 1, class: "chunk" });
  });
}

function ending(seen, x, foot, now) {
  if (seen.end === null) return [line(x(now), SENT_Y - 10, x(now), foot, "now")];
  if (!["cut", "silent"].includes(seen.end)) return [];
  const at = x(seen.endedAt);
  return [line(at, SENT_Y - 10, at, foot, "end"), shape("text", { x: at - 6, y: SENT_Y - 8, "text-anchor": "end", class: "end" }, seen.end)];
}

function described(seen) {
  const arrived = seen.arrived.map((at) => Math.round(at)).join(", ");
  return `${seen.arrived.length} of ${seen.count} events by ${seen.transport}, arrived after ${arrived || "–"} ms`;
}
