// XMLHttpRequest, which is what React Native has: the text so far grows, and what is new of it goes to a reader of events.

import { createParser } from "eventsource-parser";
import { cut, refusal } from "./words.js";

export function ask({ endpoint, key, message, started, text }) {
  return new Promise((resolve, reject) => {
    const parser = createParser({
      onEvent({ event, data }) {
        if (event === "token") text(JSON.parse(data).text);
        if (event === "error") reject(new Error(JSON.parse(data).message));
        if (event === "done") resolve(); // behind an error it changes nothing
      },
    });
    const request = new XMLHttpRequest();
    let read = 0;
    request.open("POST", endpoint);
    request.setRequestHeader("Authorization", `Bearer ${key}`);
    request.setRequestHeader("Content-Type", "application/json");
    request.onreadystatechange = () => {
      if (request.readyState === 2 && request.status === 200) started(request.getResponseHeader("X-Request-Id"));
    };
    request.onprogress = () => {
      if (request.status === 200) parser.feed(request.responseText.slice(read));
      read = request.responseText.length;
    };
    request.onerror = () => reject(cut());
    request.onload = () => reject(request.status === 200 ? cut() : refusal(request.status, request.responseText));
    request.send(JSON.stringify({ message }));
  });
}
