// fetch, and the events split by hand: those of a chat endpoint have a name and one line of data, and comments have neither.

import { cut, refusal } from "./words.js";

export async function ask({ endpoint, key, message, started, text }) {
  const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
  const answer = await fetch(endpoint, { method: "POST", headers, body: JSON.stringify({ message }) });
  if (!answer.ok) throw refusal(answer.status, await answer.text());
  started(answer.headers.get("X-Request-Id"));
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let read; !(read = await reader.read().catch(() => ({ done: true }))).done; ) {
    const blocks = (rest + read.value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const [, name, data] = /^event: (.*)\ndata: (.*)$/.exec(block) ?? [];
      if (name === "token") text(JSON.parse(data).text);
      if (name === "error") throw new Error(JSON.parse(data).message);
      if (name === "done") return;
    }
  }
  throw cut();
}
