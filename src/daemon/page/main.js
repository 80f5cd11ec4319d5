// @ts-check
/**
 * The page of a daemon: its sessions, what they do, what is not at the origin yet, and two buttons.
 *
 *   each second: GET /v1/sessions, then /v1/samples ──► History ──► the one answer, table, plots
 *   GET /v1/events (stream) ──► progress of tasks, the list of what happened
 *
 * One round of questions at a time, and a pause that grows with what the round takes: a page never keeps a daemon busy. A daemon that is
 * away is asked on until it is back.
 */
import { ApiError, askJson, followEvents, keepToken, pathOf, takeToken } from './api.js';
import { closeSession, writeBackTask } from './closing.js';
import { showDetail } from './detail.js';
import { element, make, onPress, put, setUsable } from './dom.js';
import { durationText, History, rateText, shareText, sizeText } from './figures.js';
import { Plots } from './plots.js';

/**
 * @typedef {import('./api.js').SessionView} SessionView
 * @typedef {import('./api.js').DaemonEvent} DaemonEvent
 */

const periodMs = 1000;
/** Of the rounds that events call for. */
const shortestPauseMs = 200;
/** The pause is so many times as long as the round before it. */
const restFactor = 3;
const mostEvents = 100;

const history = new History();
/** @type {Plots | undefined} */
let plots;
/** @type {Map<string, SessionView>} */
let views = new Map();
/** Progress of tasks, 0 to 1, by session. @type {Map<string, number>} */
const tasks = new Map();
let selected = '';
/** Of the daemon that answered last. */
let pid = 0;
/** @type {Promise<boolean> | undefined} */
let refreshing;
/** @type {AbortController | undefined} */
let following;
/** Something happened since the last round began. */
let isStale = false;
/** Ends the pause between two rounds. @type {(value?: unknown) => void} */
let hurry = () => {};

/** @param {string} text @param {'good' | 'waiting' | 'bad'} tone */
function answer(text, tone) {
  put(element('answer'), text);
  element('answer').dataset.tone = tone;
}

/** False: the daemon wants a token. */
function refresh() {
  refreshing ??= ask().finally(() => {
    refreshing = undefined;
  });
  return refreshing;
}

async function ask() {
  isStale = false;
  try {
    if (pid === 0) await greet();
    /** @type {SessionView[]} */
    const list = await askJson('/sessions');
    const samples = await askJson('/samples');
    views = new Map(list.map((view) => [view.id, view]));
    history.add(samples, Date.now());
    if (selected !== '' && !views.has(selected)) select('');
    showSessions();
    showAnswer(new Set(samples.map((/** @type {{id: string}} */ { id }) => id)));
    plots?.show(history.of(selected));
    await showSelected();
    return true;
  } catch (error) {
    const status = error instanceof ApiError ? error.status : undefined;
    if (status === 401) {
      askForToken();
      return false;
    }
    // The session that was looked at has just ended.
    if (status === 404) return true;
    if (status === 0) isAway();
    answer(error instanceof Error ? error.message : String(error), 'bad');
    return true;
  }
}

async function greet() {
  const daemon = await askJson('/daemon');
  put(element('daemon'), `version ${daemon.version}, process ${daemon.pid}`);
  pid = daemon.pid;
  document.body.classList.remove('away');
}

/** What is shown is not how things are now. */
function isAway() {
  pid = 0;
  tasks.clear();
  document.body.classList.add('away');
}

/** @param {ReadonlySet<string>} sampled Others have ended since they were listed. */
function showAnswer(sampled) {
  let [bytes, ageMs, conflicts, silent, kept] = [0, 0, 0, 0, 0];
  for (const { id, state } of views.values()) {
    // What it keeps counts when it is open again.
    if (state === 'closed') {
      kept++;
      continue;
    }
    // What is just being made holds nothing.
    if (!sampled.has(id) || state === 'creating') continue;
    const sample = history.latest(id);
    if (sample === undefined || history.isSilent(id)) silent++;
    bytes += sample?.dirtyBytes ?? 0;
    ageMs = Math.max(ageMs, sample?.dirtyAgeMs ?? 0);
    conflicts += sample?.conflicts ?? 0;
  }
  const parts = [];
  if (conflicts > 0) parts.push(`${counted(conflicts, 'file is', 'files are')} in conflict: viaduct conflicts tells.`);
  if (bytes > 0) parts.push(`${sizeText(bytes)} are not at the origin, the oldest for ${durationText(ageMs)}.`);
  if (kept > 0) parts.push(`${counted(kept, 'closed session keeps', 'closed sessions keep')} changes on this host.`);
  if (silent > 0) parts.push(`${silent} of ${counted(views.size, 'session', 'sessions')} cannot say what it keeps.`);
  if (parts.length === 0) parts.push('Everything is at the origin.');
  answer(parts.join(' '), conflicts > 0 ? 'bad' : bytes > 0 || silent > 0 || kept > 0 ? 'waiting' : 'good');
}

/** @param {number} count @param {string} one @param {string} many */
function counted(count, one, many) {
  return `${count} ${count === 1 ? one : many}`;
}

function showSessions() {
  const body = element('sessions').tBodies[0];
  /** @type {Map<string, HTMLTableRowElement>} */
  const rows = new Map([...body.rows].map((row) => [row.dataset.id ?? '', row]));
  const wanted = [...views.values()].sort((a, b) => a.name.localeCompare(b.name));
  for (const [id, row] of rows) if (!views.has(id)) row.remove();
  wanted.forEach((view, index) => {
    // Rows stay, so that what has the focus keeps it.
    const row = rows.get(view.id) ?? makeRow(view);
    fillRow(row, view);
    if (body.rows[index] !== row) body.insertBefore(row, body.rows[index] ?? null);
  });
  element('none').hidden = wanted.length > 0;
}

/** @param {SessionView} view */
function makeRow({ id, name, policy, origin }) {
  const row = /** @type {HTMLTableRowElement} */ (make('tr'));
  row.dataset.id = id;
  const head = make('button', { className: 'name', text: name, title: 'Plots and settings of this session' });
  head.addEventListener('click', () => select(selected === id ? '' : id));
  const writeBack = make('button', { className: 'write-back', text: 'Write back' });
  onPress(writeBack, () => act(id, () => (isOver(views.get(id)) ? reopen(id) : startWriteBack(id))));
  const close = make('button', { className: 'close', text: 'Close …' });
  onPress(close, () => act(id, () => closeSession(id)));
  const about = make('small', { className: 'url', title: `origin: ${origin}` });
  const title = make('th', {}, head, about);
  title.setAttribute('scope', 'row');
  row.append(title, make('td', { className: 'state' }), make('td', { text: policy }));
  for (const key of ['hits', 'in', 'out', 'dirty', 'prefetch']) row.append(make('td', { className: `number ${key}` }));
  row.append(make('td', { className: 'actions' }, writeBack, ' ', close));
  return row;
}

/** @param {HTMLTableRowElement} row @param {SessionView} view */
function fillRow(row, view) {
  const { id, state } = view;
  const sample = history.latest(id);
  const isSilent = history.isSilent(id);
  const figures = history.of(id).at(-1);
  /** @param {string} key */
  const part = (key) => /** @type {HTMLElement} */ (row.querySelector(`.${key}`));
  row.classList.toggle('selected', id === selected);
  part('name').setAttribute('aria-expanded', String(id === selected));
  put(part('url'), view.url ?? view.origin);
  const away = isSilent ? 0 : (sample?.originAwayMs ?? 0);
  put(part('state'), away > 2000 ? `${state}, origin away for ${durationText(away)}` : state);
  part('state').className = `state state-${away > 2000 ? 'waiting' : state}`;
  part('state').title = view.lastError?.cause ?? '';
  put(part('hits'), shareText(figures?.hitShare));
  put(part('in'), rateText(figures?.linkIn));
  put(part('out'), rateText(figures?.linkOut));
  const fetched = sample?.prefetchedBytes ?? 0;
  put(part('prefetch'), fetched === 0 ? '–' : shareText(Math.min(1, (sample?.prefetchUsedBytes ?? 0) / fetched)));
  const share = tasks.get(id);
  const dirty = dirtyText(sample, isSilent);
  put(part('dirty'), share === undefined ? dirty : `${dirty} (${shareText(share)} written back)`);
  const canOpen = isOver(view);
  put(part('write-back'), canOpen ? 'Open again' : 'Write back');
  setUsable(part('write-back'), canOpen || (state === 'running' && share === undefined && sample?.dirtyBytes !== 0));
  setUsable(part('close'), state !== 'closing' && state !== 'creating');
}

/** It runs when somebody says so. @param {SessionView | undefined} view */
function isOver(view) {
  return view?.state === 'failed' || view?.state === 'closed';
}

/** @param {import('./api.js').SessionSample | undefined} sample @param {boolean} isSilent */
function dirtyText(sample, isSilent) {
  if (sample === undefined) return isSilent ? 'unknown' : '–';
  const { dirtyBytes, dirtyAgeMs } = sample;
  if (isSilent) return dirtyBytes === 0 ? 'unknown' : `unknown, was ${sizeText(dirtyBytes)}`;
  return dirtyBytes === 0 ? '–' : `${sizeText(dirtyBytes)}, ${durationText(dirtyAgeMs)}`;
}

/** @param {string} id '' for all */
function select(id) {
  selected = id;
  element('plotted').textContent = views.get(id)?.name ?? 'all sessions';
  element('detail').hidden = id === '';
  plots?.show(history.of(id));
  showSessions();
  showSelected().catch(() => {});
}

async function showSelected() {
  const id = selected;
  if (id !== '') await showDetail(id, () => id === selected);
}

/** Runs what a button stands for; what goes wrong is told where everything else is. @param {string} id @param {() => Promise<void>} action */
async function act(id, action) {
  const name = views.get(id)?.name ?? id;
  try {
    await action();
  } catch (error) {
    note(`${name}: ${error instanceof Error ? error.message : error}`, new Date());
  }
  await refresh();
}

/** @param {string} id */
async function startWriteBack(id) {
  const task = await writeBackTask(id);
  if (task === undefined) return;
  tasks.set(id, 0);
  try {
    await askJson(`${pathOf(id)}/tasks`, { method: 'POST', body: task });
  } catch (error) {
    tasks.delete(id);
    throw error;
  }
}

/** @param {string} id */
async function reopen(id) {
  await askJson(`${pathOf(id)}/reopen`, { method: 'POST' });
}

/** @param {DaemonEvent} event */
function take(event) {
  const { session = '', progress, result, error, view } = event;
  if (event.kind === 'task-progress') {
    if (progress !== undefined && progress.totalBytes > 0)
      tasks.set(session, Math.max(0, 1 - progress.pendingBytes / progress.totalBytes));
    return;
  }
  isStale = true;
  hurry();
  if (event.kind === 'task-ended') tasks.delete(session);
  const name = view?.name ?? views.get(session)?.name ?? session;
  const what =
    event.message ??
    [
      event.kind.replaceAll('-', ' '),
      event.task?.task,
      event.kind === 'session-state' ? view?.state : undefined,
      result?.outcome,
      error?.cause,
      ...(result?.problems ?? []),
    ]
      .filter((part) => part !== undefined)
      .join(': ');
  note(name === '' || what.includes(name) ? what : `${name}: ${what}`, new Date(event.time));
}

/** @param {string} message of the daemon */
function takeGap(message) {
  // Their ends may be among what was missed.
  tasks.clear();
  if (message !== '') note(message, new Date());
}

/** @param {string} text @param {Date} when */
function note(text, when) {
  const list = element('events');
  list.prepend(make('li', {}, make('time', { text: when.toLocaleTimeString() }), ` ${text}`));
  while (list.children.length > mostEvents) list.lastElementChild.remove();
}

function askForToken() {
  following?.abort();
  element('main').hidden = true;
  const wasShown = !element('login').hidden;
  element('login').hidden = false;
  element('login').querySelector('input').focus();
  answer(
    wasShown ? 'That is not the token of this daemon.' : 'This daemon wants its token.',
    wasShown ? 'bad' : 'waiting',
  );
}

/** @param {number} ms */
function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function begin() {
  pid = 0;
  if (!(await refresh())) return;
  element('login').hidden = true;
  element('main').hidden = false;
  plots ??= new Plots();
  plots.show(history.of(selected));
  following?.abort();
  following = new AbortController();
  void followEvents(take, takeGap, following.signal);
  for (;;) {
    const began = performance.now();
    if (!(await refresh())) return;
    const restMs = Math.max(shortestPauseMs, restFactor * (performance.now() - began));
    await sleep(restMs);
    if (!isStale) await Promise.race([sleep(periodMs - restMs), new Promise((resolve) => (hurry = resolve))]);
    // Nobody looks: nobody asks.
    while (document.hidden)
      await new Promise((resolve) => document.addEventListener('visibilitychange', resolve, { once: true }));
  }
}

element('login').addEventListener('submit', (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  keepToken(String(new FormData(/** @type {HTMLFormElement} */ (event.target)).get('token')).trim());
  void begin();
});
// A link with another token, in the same tab.
addEventListener('hashchange', () => {
  if (!location.hash.includes('token=')) return;
  takeToken();
  if (!element('login').hidden) void begin();
});
takeToken();
void begin();
