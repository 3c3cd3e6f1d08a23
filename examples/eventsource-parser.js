// eventsource-parser, in a browser or in Node: fetch, with a reader of events that knows their whole grammar.

import { EventSourceParserStream } from "eventsource-parser/stream";
import { cut, refusal } from "./words.js";

export async function ask({ endpoint, key, message, started, text }) {
  const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
  const answer = await fetch(endpoint, { method: "POST", headers, body: JSON.stringify({ message }) });
  if (!answer.ok) throw refusal(answer.status, await answer.text());
  started(answer.headers.get("X-Request-Id"));
  const events = answer.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream()).getReader();
  for (let read; !(read = await events.read().catch(() => ({ done: true }))).done; ) {
    const { event, data } = read.value;
    if (event === "token") text(JSON.parse(data).text);
    if (event === "error") throw new Error(JSON.parse(data).message);
    if (event === "done") return;
  }
  throw cut();
}
