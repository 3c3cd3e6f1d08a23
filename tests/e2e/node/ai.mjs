// Uses of Vercel's AI SDK with one of its providers: node ai.mjs PACKAGE PROVIDER API, where API is openai, compatible or anthropic.

import { both, parameters, serve, tea } from "./lines.mjs";

const [sdk, provider, api] = process.argv.slice(2);
globalThis.AI_SDK_LOG_WARNINGS = false; // they would go to standard output
const { jsonSchema, streamText, tool } = await import(sdk);
const made = await import(provider);

const models = {
  openai: ({ url, key, headers }) => made.createOpenAI({ baseURL: `${url}/v1`, apiKey: key, headers })("demo"),
  compatible: ({ url, key, headers }) =>
    made.createOpenAICompatible({ name: "proxy", baseURL: `${url}/v1`, apiKey: key, headers })("demo"),
  anthropic: ({ url, key, headers }) => made.createAnthropic({ baseURL: `${url}/v1`, apiKey: key, headers })("claude-x"),
};

async function parts(asked, prompt, more = {}) {
  const result = streamText({ model: models[api](asked), prompt, maxRetries: 0, onError() {}, ...more });
  const parts = [];
  for await (const part of result.fullStream) {
    if (part.type === "error") throw part.error;
    parts.push({ ...part, at: performance.now() / 1000 });
  }
  return parts;
}

await serve({
  async text(asked) {
    const deltas = (await parts(asked, tea)).filter((part) => part.type === "text-delta" && part.text);
    return { text: deltas.map((part) => part.text).join(""), times: deltas.map((part) => part.at) };
  },

  async tools(asked) {
    const tools = Object.fromEntries(["weather", "clock"].map((name) => [name, tool({ inputSchema: jsonSchema(parameters) })]));
    const told = await parts(asked, both, { tools });
    const calls = told.filter((part) => part.type === "tool-call").map((part) => [part.toolName, Object.keys(part.input)]);
    return { calls, finish: told.find((part) => part.type === "finish").finishReason };
  },
});
