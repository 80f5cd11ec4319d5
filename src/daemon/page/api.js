// @ts-check
/**
 * The daemon's API as the page uses it. The token comes in the page's address once (`#token=...`), and is kept for this tab alone.
 *
 * @typedef {import('../contract.ts').SessionView} SessionView
 * @typedef {import('../contract.ts').SessionDetail} SessionDetail
 * @typedef {import('../contract.ts').SessionSample} SessionSample
 * @typedef {import('../contract.ts').DaemonEvent} DaemonEvent
 */

const tokenKey = 'viaduct-token';

/** What the API says is wrong, or that it says nothing (`status` 0). */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} cause
   * @param {string} remedy
   */
  constructor(status, cause, remedy) {
    super(remedy === '' ? cause : `${cause} ${remedy}`);
    this.status = status;
  }
}

/** Takes the token out of the address, so that it is in no history and no screenshot. */
export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get('token');
  if (given === null) return;
  keepToken(given);
  history.replaceState(null, '', location.pathname);
}

/** @param {string} token */
export function keepToken(token) {
  sessionStorage.setItem(tokenKey, token);
}

/**
 * @param {string} path below /v1
 * @param {{method?: string, body?: unknown, accept?: string, signal?: AbortSignal, headers?: Record<string, string>}} [options]
 * @returns {Promise<Response>}
 */
async function ask(path, { method = 'GET', body, accept = 'application/json', signal, headers = {} } = {}) {
  const token = sessionStorage.getItem(tokenKey);
  /** @type {RequestInit} */
  const request = {
    method,
    headers: {
      accept,
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...(signal === undefined ? {} : { signal }),
  };
  let response;
  try {
    response = await fetch(`/v1${path}`, request);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, 'The daemon does not answer.', 'This page goes on when it is back.');
  }
  if (response.ok) return response;
  /** @type {{cause?: string, remedy?: string}} */
  const told = await response.json().catch(() => ({}));
  throw new ApiError(response.status, told.cause ?? `The daemon answered ${response.status}.`, told.remedy ?? '');
}

/**
 * @param {string} path
 * @param {Parameters<typeof ask>[1]} [options]
 * @returns {Promise<any>}
 */
export async function askJson(path, options) {
  const response = await ask(path, options);
  return response.status === 204 ? undefined : response.json();
}

/** @param {string} session */
export function pathOf(session) {
  return `/sessions/${encodeURIComponent(session)}`;
}

/**
 * Calls `onEvent` with each event from now on, and comes back after every loss of the connection until `signal` is aborted. What it
 * cannot have heard is told by `onGap`.
 *
 * @param {(event: DaemonEvent) => void} onEvent
 * @param {(message: string) => void} onGap
 * @param {AbortSignal} signal
 */
export async function followEvents(onEvent, onGap, signal) {
  let last = '';
  let wasConnected = false;
  while (!signal.aborted) {
    try {
      const headers = last === '' ? {} : { 'last-event-id': last };
      const response = await ask('/events', { accept: 'text/event-stream', signal, headers });
      // Nothing to come back to had been heard.
      if (wasConnected && last === '') onGap('');
      wasConnected = true;
      for await (const { id, event, data } of messagesOf(response)) {
        if (id !== '') last = id;
        if (event === 'lost') onGap(JSON.parse(data).message);
        else if (data !== '') onEvent(JSON.parse(data));
      }
    } catch (error) {
      if (signal.aborted || (error instanceof ApiError && error.status === 401)) return;
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

/**
 * The messages of an event stream (HTML standard, 9.2.6), as far as our server writes them: lines end with LF.
 *
 * @param {Response} response
 */
async function* messagesOf(response) {
  if (response.body === null) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split('\n\n');
    rest = parts.pop() ?? '';
    for (const part of parts) {
      let [id, event] = ['', ''];
      const data = [];
      for (const line of part.split('\n')) {
        if (line.startsWith('id:')) id = line.slice(3).trim();
        else if (line.startsWith('event:')) event = line.slice(6).trim();
        else if (line.startsWith('data:')) data.push(line.slice(5).trim());
      }
      yield { id, event, data: data.join('\n') };
    }
  }
}
