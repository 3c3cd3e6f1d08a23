// The page around the examples: a question, its answer as it comes, a button to stop it, and what went wrong.

const endpoint = new URLSearchParams(location.search).get("endpoint") ?? "http://127.0.0.1:8080/api/v1/chat";
const [form] = document.forms;
const [send, stop] = form.querySelectorAll("button");
const answer = document.querySelector("[role=log]");
const problem = document.querySelector("[role=alert]");

form.onsubmit = async (event) => {
  event.preventDefault();
  const { client, ...asked } = Object.fromEntries(new FormData(form));
  answer.textContent = problem.textContent = ""; // a new answer takes the place of one that was cut
  send.disabled = true;
  try {
    const { ask } = await import(`./${client}.js`);
    await ask({ endpoint, ...asked, started: (id) => stoppable(id, asked.key), text: (piece) => answer.append(piece) });
  } catch (error) {
    problem.textContent = error.message;
  } finally {
    stop.disabled = true;
    send.disabled = false;
  }
};

function stoppable(id, key) {
  stop.disabled = false;
  stop.onclick = () => {
    stop.disabled = true; // the end comes in the stream itself, and says so
    return fetch(new URL(`/streams/${id}`, endpoint), { method: "DELETE", headers: { Authorization: `Bearer ${key}` } });
  };
}
