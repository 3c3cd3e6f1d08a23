// Uses of the official Node client against a base URL, all at once; prints what came of each as one line of JSON.
//
//   node client.mjs '{"sdk": "openai", "baseURL": "…", "apiKey": "…", "uses": ["chat"], "scenario": "ok", "options": {}}'

const wanted = JSON.parse(process.argv[2]);
const { default: OpenAI } = await import(wanted.sdk);

const client = new OpenAI({
  baseURL: wanted.baseURL,
  apiKey: wanted.apiKey,
  maxRetries: 0,
  defaultHeaders: { "X-Test-Scenario": wanted.scenario },
  ...wanted.options,
});
const model = "demo";
const messages = [{ role: "user", content: "On tea" }];
const parameters = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};

const uses = {
  async chat() {
    const stream = await client.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } });
    let text = "";
    let usage;
    const times = [];
    for await (const chunk of stream) {
      const piece = chunk.choices[0]?.delta.content ?? "";
      text += piece;
      if (piece) times.push(performance.now() / 1000);
      usage = chunk.usage ?? usage;
    }
    return { text, times, tokens: usage?.completion_tokens };
  },

  async chatHelper() {
    const completion = await client.chat.completions.stream({ model, messages }).finalChatCompletion();
    return { text: completion.choices[0].message.content };
  },

  async chatWhole() {
    const completion = await client.chat.completions.create({ model, messages });
    return { text: completion.choices[0].message.content, id: completion._request_id };
  },

  async tools() {
    const tools = ["weather", "clock"].map((name) => ({ type: "function", function: { name, parameters, strict: true } }));
    const asked = [{ role: "user", content: "Weather and time in both Oslo and Rome?" }];
    const completion = await client.chat.completions.stream({ model, messages: asked, tools }).finalChatCompletion();
    const [choice] = completion.choices;
    const calls = choice.message.tool_calls.map((call) => [call.function.name, Object.keys(JSON.parse(call.function.arguments))]);
    return { calls, finish: choice.finish_reason };
  },

  async response() {
    const stream = await client.responses.create({ model, input: "On tea", stream: true });
    let text = "";
    const kinds = [];
    for await (const event of stream) {
      kinds.push(event.type);
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    return { text, kinds };
  },

  async responseHelper() {
    const response = await client.responses.stream({ model, input: "On tea" }).finalResponse();
    return { text: response.output_text };
  },

  async responseTool() {
    const tools = [{ type: "function", name: "weather", parameters, strict: true }];
    const response = await client.responses.create({ model, input: "Weather in Oslo?", tools });
    return { calls: response.output.map((item) => [item.name, Object.keys(JSON.parse(item.arguments))]) };
  },

  async models() {
    const listed = [];
    for await (const one of client.models.list()) listed.push(one.id);
    return { listed, described: (await client.models.retrieve("demo-think")).id };
  },

  async embeddings() {
    const embedded = await client.embeddings.create({ model: "demo-embedding", input: ["tea", "milk"], dimensions: 16 });
    return { sizes: embedded.data.map((one) => one.embedding.length) };
  },

  async unknownModel() {
    return client.models.retrieve("gpt-99");
  },

  async badRequest() {
    return client.chat.completions.create({ model, messages: [] });
  },

  async leave() {
    const stream = await client.chat.completions.create({ model, messages, stream: true });
    for await (const _ of stream) break;
    console.log(JSON.stringify({ left: true }));
    await new Promise((resolve) => process.stdin.resume().on("end", resolve)); // stays alive: only the stream is closed
  },
};

function told(error) {
  const header = (name) => error.headers?.get(name) ?? null;
  return {
    raised: error.constructor.name,
    message: error.message,
    status: error.status ?? null,
    code: error.code ?? null,
    param: error.param ?? null,
    id: error.requestID ?? null,
    retryAfter: header("retry-after"),
    shouldRetry: header("x-should-retry"),
  };
}

console.log(JSON.stringify(await Promise.all(wanted.uses.map((use) => uses[use]().catch(told)))));
