/** The way to the server: the token, the socket, and why there is none. */

const TOKEN_KEY = "covo.token";
const OPEN_S = 15;

/** Subprotocols, where browsers put the token, allow no other characters. */
const MAY_BE_PROTOCOL = /^[\w!#$%&'*+.^`|~-]+$/;

/** `kind`: "token", "full", "unreachable" or "refused"; the message is for the user. */
export class ConnectionError extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

/** Move a token from the address to this tab's storage, and return the token, or null. */
export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem(TOKEN_KEY, given);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return sessionStorage.getItem(TOKEN_KEY);
}

/** @param {string | null} token null: forget it */
export function keepToken(token) {
  if (token === null) sessionStorage.removeItem(TOKEN_KEY);
  else sessionStorage.setItem(TOKEN_KEY, token);
}

const address = (path) => new URL(`../${path}`, import.meta.url);

async function ask(path, token, method = "GET") {
  const headers = token === null ? {} : { Authorization: `Bearer ${token}` };
  let answer;
  try {
    answer = await fetch(address(path), { method, headers, cache: "no-store" });
  } catch {
    throw new ConnectionError("unreachable", "The server does not answer. Is it running, and the tunnel to it open?");
  }
  if (answer.status === 401) throw new ConnectionError("token", "The server does not know this token.");
  return answer;
}

/** Return what is served: {voices, lacks}; empty lists where the token was valid only once. */
export async function whatIsServed(token) {
  try {
    const [model] = (await (await ask("v1/models", token)).json()).data;
    return { voices: model.voices, lacks: model.lacks };
  } catch {
    return { voices: [], lacks: [] };
  }
}

/** Return an open socket. Throws: ConnectionError. @param {string} token */
export async function openSocket(token) {
  let key = token;
  if (!MAY_BE_PROTOCOL.test(token)) {
    const answer = await ask("v1/realtime/client_secrets", token, "POST");
    key = (await answer.json()).value;
  }
  const url = address("v1/realtime?model=covo&covo=1");
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url, ["realtime", `openai-insecure-api-key.${key}`]);
  const opened = await new Promise((resolve) => {
    const late = setTimeout(() => socket.close(), OPEN_S * 1000);
    socket.onopen = () => resolve(true);
    socket.onclose = () => resolve(false);
    socket.addEventListener("open", () => clearTimeout(late));
  });
  if (!opened) throw await whyRefused(token);
  socket.onopen = socket.onclose = null;
  return socket;
}

/** Browsers do not tell a page how a socket was refused, so ask in another way. */
async function whyRefused(token) {
  try {
    const answer = await ask("v1/models", token);
    if (answer.status === 403) return new ConnectionError("refused", `The server refuses this page: ${await answer.text()}`);
    const { sessions, places } = await (await ask("health", null)).json();
    if (!places) return new ConnectionError("refused", "The server’s engine has failed. Start it again.");
    if (sessions >= places) return new ConnectionError("full", "All places are taken, and the queue is full. Try again in a moment.");
  } catch (error) {
    if (error instanceof ConnectionError) return error;
  }
  return new ConnectionError("refused", "The server refused the connection. Try again.");
}
