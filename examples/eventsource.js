// EventSource sends no headers, so a ticket takes the place of the key: good once, for one path, for some seconds.

import { cut, refusal } from "./words.js";

export async function ask({ endpoint, key, message, started, text }) {
  const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
  const wanted = JSON.stringify({ method: "GET", path: new URL(endpoint).pathname });
  const granted = await fetch(new URL("/auth/tickets", endpoint), { method: "POST", headers, body: wanted });
  if (!granted.ok) throw refusal(granted.status, await granted.text());
  const { ticket } = await granted.json();
  const source = new EventSource(`${endpoint}?${new URLSearchParams({ message, ticket })}`);
  const answered = new Promise((resolve, reject) => {
    source.addEventListener("token", ({ data, lastEventId }) => {
      started(lastEventId); // nor does it show headers: the first event brings the stream's id
      text(JSON.parse(data).text);
    });
    source.addEventListener("done", resolve);
    // the proxy's own has data, the browser's has none
    source.addEventListener("error", ({ data }) => reject(data ? new Error(JSON.parse(data).message) : cut()));
  });
  return answered.finally(() => source.close()); // else the browser asks again by itself, after a good end, too
}
