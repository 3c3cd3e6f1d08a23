// @microsoft/fetch-event-source. Left alone it asks again after every failure, and whenever a hidden page is shown again: the
// answer would be written twice, and paid for twice.

import { fetchEventSource } from "@microsoft/fetch-event-source";
import { cut, refusal } from "./words.js";

export async function ask({ endpoint, key, message, started, text }) {
  let done = false;
  await fetchEventSource(endpoint, {
    method: "POST",
    headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
    body: JSON.stringify({ message }),
    openWhenHidden: true, // reads on while the page is hidden
    async onopen(answer) {
      if (!answer.ok) throw refusal(answer.status, await answer.text());
      started(answer.headers.get("X-Request-Id"));
    },
    onmessage({ event, data }) {
      if (event === "token") text(JSON.parse(data).text); // a keepalive is a message here, too: without a name or data
      if (event === "error") throw new Error(JSON.parse(data).message);
      done ||= event === "done";
    },
    onclose() {
      if (!done) throw cut();
    },
    onerror(error) {
      throw error instanceof TypeError ? cut() : error; // what is thrown here is not asked again
    },
  });
}
