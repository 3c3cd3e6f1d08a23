// What goes wrong, in words for people: the proxy's own where it has said something.

export function refusal(status, body) {
  let told;
  try {
    told = JSON.parse(body).error?.message;
  } catch {
    // a server between here and the proxy may answer in HTML
  }
  return new Error(told ?? `The server has answered ${status}.`);
}

export function cut() {
  return new Error("The connection was lost before the end of the answer.");
}
