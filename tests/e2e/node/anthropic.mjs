// Uses of Anthropic's official client against a base URL, all at once; prints what came of each as one line of JSON.
//
//   node anthropic.mjs '{"sdk": "@anthropic-ai/sdk", "baseURL": "…", "apiKey": "…", "uses": ["message"], "scenario": "ok", "options": {}}'

const wanted = JSON.parse(process.argv[2]);
const { default: Anthropic } = await import(wanted.sdk);

const client = new Anthropic({
  baseURL: wanted.baseURL,
  apiKey: wanted.apiKey,
  maxRetries: 0,
  defaultHeaders: { "X-Test-Scenario": wanted.scenario },
  ...wanted.options,
});
const asked = { model: "claude-x", max_tokens: 99, messages: [{ role: "user", content: "On tea" }] };
const textOf = (message) => message.content.map((block) => block.text ?? "").join("");

const uses = {
  async message() {
    const stream = await client.messages.create({ ...asked, stream: true });
    let text = "";
    const times = [];
    for await (const event of stream) {
      if (event.type !== "content_block_delta") continue;
      text += event.delta.text ?? "";
      times.push(performance.now() / 1000);
    }
    return { text, times };
  },

  async helper() {
    return { text: textOf(await client.messages.stream(asked).finalMessage()) };
  },

  async whole() {
    const message = await client.messages.create(asked);
    return { text: textOf(message), id: message._request_id };
  },

  async blocks() {
    const message = await client.messages.stream(asked).finalMessage();
    return { blocks: message.content, reason: message.stop_reason, tokens: message.usage.output_tokens };
  },

  async count() {
    return client.messages.countTokens({ model: asked.model, messages: asked.messages });
  },

  async models() {
    const listed = [];
    for await (const one of client.models.list()) listed.push(one.id);
    return { listed, described: (await client.models.retrieve("claude-x")).display_name };
  },

  async unknownModel() {
    return client.models.retrieve("gpt-99");
  },

  async leave() {
    const stream = await client.messages.create({ ...asked, stream: true });
    for await (const _ of stream) break;
    console.log(JSON.stringify({ left: true }));
    await new Promise((resolve) => process.stdin.resume().on("end", resolve)); // stays alive: only the stream is closed
  },
};

function told(error) {
  return {
    raised: error.constructor.name,
    message: error.message,
    status: error.status ?? null,
    type: error.error?.error?.type ?? null,
    code: error.error?.error?.code ?? null,
    shouldRetry: error.headers?.get("x-should-retry") ?? null,
  };
}

console.log(JSON.stringify(await Promise.all(wanted.uses.map((use) => uses[use]().catch(told)))));
