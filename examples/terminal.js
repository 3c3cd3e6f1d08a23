// The same in a terminal, with Ctrl-C as the button: LLM_PROXY_KEY=… node terminal.js eventsource-parser "On tea"

const [client, message, endpoint = "http://127.0.0.1:8080/api/v1/chat"] = process.argv.slice(2);
const key = process.env.LLM_PROXY_KEY;
const { ask } = await import(`./${client}.js`);

function started(id) {
  const headers = { Authorization: `Bearer ${key}` };
  process.once("SIGINT", () => fetch(new URL(`/streams/${id}`, endpoint), { method: "DELETE", headers }));
}

try {
  await ask({ endpoint, key, message, started, text: (piece) => process.stdout.write(piece) });
} catch (error) {
  console.error(`\n${error.message}`);
  process.exitCode = 1;
}
