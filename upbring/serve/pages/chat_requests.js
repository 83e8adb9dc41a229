// Requests of the chat page: streams of text, and choices between two answers.

export async function listModels() {
  const body = await json(await fetch("/v1/models"));
  return body.data.filter((model) => model.task === "generate").map((model) => model.id);
}

// Streams a response; `onText` gets each new piece.
export async function streamChat(request, signal, onText) {
  await stream("/v1/chat/completions", { ...request, stream: true }, signal, (event) => {
    onText(event.choices?.[0]?.delta?.content ?? "");
  });
}

export async function startComparison(request) {
  return json(await post("/api/comparisons", request));
}

export async function streamSide(id, side, signal, onText) {
  await stream(`/api/comparisons/${id}/${side}`, {}, signal, (event) => onText(event.text ?? ""));
}

export async function sendChoice(id, choice) {
  return json(await post(`/api/comparisons/${id}/choice`, { choice }));
}

function post(path, body, signal) {
  return fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
}

async function json(response) {
  const text = await response.text();
  let body = null;
  try {
    body = JSON.parse(text);
  } catch {
    throw new Error(text || `The server answered with status ${response.status}.`);
  }
  if (!response.ok) throw new Error(body.error?.message ?? `Status ${response.status}.`);
  return body;
}

async function stream(path, body, signal, onEvent) {
  const response = await post(path, body, signal);
  if (!response.ok) await json(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    held += value;
    const events = held.split("\n\n");
    held = events.pop();
    for (const each of events) {
      const data = each.replace(/^data: /, "");
      if (data === "[DONE]") return;
      const event = JSON.parse(data);
      if (event.error) throw new Error(event.error.message);
      onEvent(event);
    }
  }
}
