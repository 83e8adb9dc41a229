// Requests to this server. A vote that could not be sent is kept in the browser and sent again,
// with the same key, so that it is stored exactly once.

const OUTBOX = "upbring-outbox";
const RETRY_SECONDS = [1, 2, 4, 8, 10];

export class RefusedError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export async function get(path) {
  return answer(await fetch(path, { headers: { Accept: "application/json" } }));
}

export async function post(path, body) {
  return answer(await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  }));
}

async function answer(response) {
  if (response.status === 401) {
    throw new RefusedError(401, "This link is not valid any more. Open the newest printed link.");
  }
  let body;
  try {
    body = await response.json();
  } catch {
    throw new RefusedError(response.status, `The server answered with error ${response.status}.`);
  }
  if (!response.ok) throw new RefusedError(response.status, body.error);
  return body;
}

export function unsent() {
  try {
    return JSON.parse(localStorage.getItem(OUTBOX));
  } catch {
    return null;
  }
}

// Sends a vote until the server has confirmed or refused it; `onWaiting` gets what is wrong.
export async function sendVote(vote, onWaiting) {
  localStorage.setItem(OUTBOX, JSON.stringify(vote));
  for (let attempt = 0; ; attempt++) {
    try {
      const reply = await post("/api/vote", vote);
      localStorage.removeItem(OUTBOX);
      return reply;
    } catch (error) {
      const status = error instanceof RefusedError ? error.status : 0;
      if (status !== 0 && status !== 429 && status < 500 && status !== 401) {
        localStorage.removeItem(OUTBOX);
        throw error;
      }
      onWaiting(status ? error.message : "No connection to the server.");
      await wait(RETRY_SECONDS[Math.min(attempt, RETRY_SECONDS.length - 1)]);
    }
  }
}

// Waits, but not longer than until the browser is online again.
function wait(seconds) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      resolve();
    };
    const timer = setTimeout(done, seconds * 1000);
    addEventListener("online", done);
  });
}
