// Uses of Google's official client against a base URL, all at once; prints what came of each as one line of JSON.
//
//   node gemini.mjs '{"sdk": "@google/genai", "baseURL": "…", "apiKey": "…", "uses": ["stream"], "options": {}}'

const wanted = JSON.parse(process.argv[2]);
const { GoogleGenAI } = await import(wanted.sdk);

const client = new GoogleGenAI({ apiKey: wanted.apiKey, httpOptions: { baseUrl: wanted.baseURL, ...wanted.options } });
const asked = { model: wanted.options.model ?? "gemini-x", contents: "On tea" };

const uses = {
  async stream() {
    let text = "";
    const times = [];
    for await (const chunk of await client.models.generateContentStream(asked)) {
      text += chunk.text ?? "";
      if (chunk.text) times.push(performance.now() / 1000);
    }
    return { text, times };
  },

  async chat() {
    let text = "";
    for await (const chunk of await client.chats.create({ model: asked.model }).sendMessageStream({ message: "On tea" })) {
      text += chunk.text ?? "";
    }
    return { text };
  },

  async whole() {
    return { text: (await client.models.generateContent(asked)).text };
  },

  async parts() {
    const parts = [];
    let usage;
    for await (const chunk of await client.models.generateContentStream(asked)) {
      parts.push(...(chunk.candidates?.[0]?.content?.parts ?? []));
      usage = chunk.usageMetadata ?? usage;
    }
    return { parts, tokens: usage?.candidatesTokenCount };
  },

  async count() {
    return { tokens: (await client.models.countTokens(asked)).totalTokens };
  },

  async models() {
    const names = [];
    for await (const model of await client.models.list()) names.push(model.name);
    return { names, one: (await client.models.get({ model: "gemini-flash" })).displayName };
  },

  async unknownModel() {
    return client.models.generateContent({ ...asked, model: "gpt-99" });
  },

  async leave() {
    const controller = new AbortController();
    const stream = await client.models.generateContentStream({ ...asked, config: { abortSignal: controller.signal } });
    for await (const _ of stream) break;
    controller.abort();
    console.log(JSON.stringify({ left: true }));
    await new Promise((resolve) => process.stdin.resume().on("end", resolve)); // stays alive: only the stream is closed
  },
};

function told(error) {
  return { raised: error.constructor.name, message: error.message, status: error.status ?? null };
}

console.log(JSON.stringify(await Promise.all(wanted.uses.map((use) => uses[use]().catch(told)))));
