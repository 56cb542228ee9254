import { type GetJson, type OpenSocket, type PostJson, Refusal, type Timers } from './ports.ts';

/** How long an answer may take before the page says that the pool does not answer. */
const REQUEST_TIMEOUT_MS = 10_000;

export const timers: Timers = {
  now: () => Date.now(),
  after: (ms, task) => {
    const handle = setTimeout(task, ms);
    return () => clearTimeout(handle);
  },
};

/** The page's own address is the base, so that it works below any prefix. */
export const openSocket: OpenSocket = (path, handlers) => {
  const url = new URL(path, document.baseURI);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  const socket = new WebSocket(url);
  let closed = false;
  const close = () => {
    if (closed) return;
    closed = true;
    handlers.onClose();
  };
  socket.onopen = () => {
    if (!closed) handlers.onOpen();
  };
  socket.onmessage = ({ data }) => {
    if (!closed && typeof data === 'string') handlers.onText(data);
  };
  socket.onclose = close;
  return {
    send: (text) => socket.send(text),
    close: () => {
      socket.close();
      close();
    },
  };
};

export const getJson: GetJson = async (path) => {
  const response = await fetch(new URL(path, document.baseURI), {
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    headers: { accept: 'application/json' },
  });
  if (!response.ok) throw new Error(`${path}: HTTP ${response.status}`);
  return response.json();
};

export const postJson: PostJson = async (path, body) => {
  const response = await fetch(new URL(path, document.baseURI), {
    method: 'POST',
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    headers: { 'content-type': 'application/json', accept: 'application/json' },
    body: JSON.stringify(body),
  });
  const answer = (await response.json()) as { error?: { code?: string; message?: string } };
  if (response.ok) return answer;
  throw new Refusal(answer.error?.code ?? 'UNAVAILABLE', answer.error?.message ?? `HTTP ${response.status}`);
};
