// Uses of eventsource-parser, a plain reader of event streams, with OpenAI's chat API: node eventsource.mjs PACKAGE

import { both, parameters, serve, tea } from "./lines.mjs";

const [sdk] = process.argv.slice(2);
const { EventSourceParserStream } = await import(`${sdk}/stream`);

async function* chunks({ url, key, headers }, content, more = {}) {
  const body = JSON.stringify({ model: "demo", stream: true, messages: [{ role: "user", content }], ...more });
  const answer = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    body,
    headers: { ...headers, Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
  });
  if (!answer.ok) throw Object.assign(new Error(await answer.text()), { status: answer.status });
  for await (const event of answer.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream())) {
    if (event.data === "[DONE]") return;
    const chunk = JSON.parse(event.data);
    if (chunk.error) throw new Error(chunk.error.code);
    yield chunk;
  }
  throw new Error("no [DONE]");
}

await serve({
  async text(asked) {
    let text = "";
    const times = [];
    for await (const chunk of chunks(asked, tea)) {
      const piece = chunk.choices[0].delta.content ?? "";
      text += piece;
      if (piece) times.push(performance.now() / 1000);
    }
    return { text, times };
  },

  async tools(asked) {
    const tools = ["weather", "clock"].map((name) => ({ type: "function", function: { name, parameters } }));
    const calls = [];
    let finish;
    for await (const { choices } of chunks(asked, both, { tools })) {
      finish = choices[0].finish_reason ?? finish;
      for (const { index, function: told } of choices[0].delta.tool_calls ?? []) {
        const call = (calls[index] ??= { name: "", arguments: "" });
        call.name += told.name ?? "";
        call.arguments += told.arguments ?? "";
      }
    }
    return { calls: calls.map((call) => [call.name, Object.keys(JSON.parse(call.arguments))]), finish };
  },
});
