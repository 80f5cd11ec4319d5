// @ts-check
/**
 * The page of a daemon: its sessions, what they do, what is not at the origin yet, and two buttons.
 *
 *   each second: GET /v1/samples ──► History ──► table, plots
 *   GET /v1/events (stream) ──► views of sessions, progress of tasks, the list of what happened
 *
 * Texts from the daemon become text nodes, never HTML.
 */
import { ApiError, askJson, followEvents, keepToken, pathOf, takeToken } from './api.js';
import { durationText, History, shareText, sizeText } from './figures.js';
import { Plots } from './plots.js';

/**
 * @typedef {import('./api.js').SessionView} SessionView
 * @typedef {import('./api.js').SessionDetail} SessionDetail
 * @typedef {import('./api.js').DaemonEvent} DaemonEvent
 */

const periodMs = 1000;
const mostEvents = 100;

const history = new History();
/** @type {Plots | undefined} */
let plots;
/** @type {Map<string, SessionView>} */
let views = new Map();
/** Progress of tasks, 0 to 1, by session. @type {Map<string, number>} */
const tasks = new Map();
let selected = '';
/** @type {AbortController | undefined} */
let following;

/** @param {string} id @returns {any} */
const element = (id) => document.getElementById(id);

/**
 * @param {string} tag
 * @param {{text?: string, className?: string, title?: string}} [options]
 * @param {...(Node | string)} children
 */
function make(tag, { text, className, title } = {}, ...children) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className !== undefined) made.className = className;
  if (title !== undefined) made.title = title;
  made.append(...children);
  return made;
}

/** @param {string} text @param {'good' | 'waiting' | 'bad'} tone */
function answer(text, tone) {
  const place = element('answer');
  if (place.textContent !== text) place.textContent = text;
  place.dataset.tone = tone;
}

async function refresh() {
  try {
    const [samples, list] = await Promise.all([askJson('/samples'), askJson('/sessions')]);
    views = new Map(list.map((/** @type {SessionView} */ view) => [view.id, view]));
    history.add(samples);
    if (selected !== '' && !views.has(selected)) select('');
    showSessions();
    showAnswer();
    plots?.show(history.of(selected));
    if (selected !== '') await showDetail();
    return true;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) {
      askForToken();
      return false;
    }
    answer(error instanceof Error ? error.message : String(error), 'bad');
    return true;
  }
}

function showAnswer() {
  let [bytes, ageMs, conflicts, silent] = [0, 0, 0, 0];
  for (const id of views.keys()) {
    const sample = history.latest(id);
    if (sample === undefined) silent++;
    bytes += sample?.dirtyBytes ?? 0;
    ageMs = Math.max(ageMs, sample?.dirtyAgeMs ?? 0);
    conflicts += sample?.conflicts ?? 0;
  }
  if (conflicts > 0) answer(`${conflicts} files are in conflict: viaduct conflicts tells which.`, 'bad');
  else if (bytes > 0)
    answer(`${sizeText(bytes)} are not at the origin, the oldest for ${durationText(ageMs)}.`, 'waiting');
  else if (silent > 0) answer(`${silent} of ${views.size} sessions do not say how they are.`, 'waiting');
  else answer('Everything is at the origin.', 'good');
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
function makeRow(view) {
  const row = /** @type {HTMLTableRowElement} */ (make('tr'));
  row.dataset.id = view.id;
  const name = make('button', { className: 'name', text: view.name, title: 'Plots and settings of this session' });
  name.addEventListener('click', () => select(selected === view.id ? '' : view.id));
  const writeBack = make('button', { className: 'write-back', text: 'Write back' });
  writeBack.addEventListener('click', () => act(view.id, () => startWriteBack(view.id)));
  const close = make('button', { className: 'close', text: 'Close …' });
  close.addEventListener('click', () => act(view.id, () => closeSession(view.id)));
  row.append(make('td', {}, name, make('small', { text: view.url ?? view.origin, title: `origin: ${view.origin}` })));
  row.append(make('td', { className: 'state' }), make('td', {}, view.policy));
  for (const key of ['hits', 'in', 'out', 'dirty', 'prefetch']) row.append(make('td', { className: `number ${key}` }));
  row.append(make('td', { className: 'actions' }, writeBack, ' ', close));
  return row;
}

/** @param {HTMLTableRowElement} row @param {SessionView} view */
function fillRow(row, view) {
  const sample = history.latest(view.id);
  const figures = history.of(view.id).at(-1);
  /** @param {string} key @param {string} text */
  const put = (key, text) => {
    const cell = /** @type {HTMLElement} */ (row.querySelector(`.${key}`));
    if (cell.textContent !== text) cell.textContent = text;
    return cell;
  };
  row.setAttribute('aria-selected', String(view.id === selected));
  const away = (sample?.originAwayMs ?? 0) > 2000 ? `, origin away for ${durationText(sample?.originAwayMs ?? 0)}` : '';
  const state = put('state', `${view.state}${away}`);
  state.className = `state state-${view.state}`;
  state.title = view.lastError?.cause ?? '';
  put('hits', shareText(figures?.hitShare));
  put('in', `${sizeText(figures?.linkIn ?? 0)}/s`);
  put('out', `${sizeText(figures?.linkOut ?? 0)}/s`);
  const fetched = sample?.prefetchedBytes ?? 0;
  put('prefetch', fetched === 0 ? '–' : shareText(Math.min(1, (sample?.prefetchUsedBytes ?? 0) / fetched)));
  const dirty = sample?.dirtyBytes ?? 0;
  const share = tasks.get(view.id);
  const text = dirty === 0 ? '–' : `${sizeText(dirty)}, ${durationText(sample?.dirtyAgeMs ?? 0)}`;
  put('dirty', share === undefined ? text : `${text} (${shareText(share)} written back)`);
  const writeBack = /** @type {HTMLButtonElement} */ (row.querySelector('button.write-back'));
  writeBack.disabled = view.state !== 'running' || share !== undefined;
  const close = /** @type {HTMLButtonElement} */ (row.querySelector('button.close'));
  close.disabled = view.state === 'closing';
}

/** @param {string} id '' for all */
function select(id) {
  selected = id;
  element('plotted').textContent = views.get(id)?.name ?? 'all sessions';
  element('detail').hidden = id === '';
  plots?.show(history.of(id));
  showSessions();
  if (id !== '') showDetail().catch(() => {});
}

async function showDetail() {
  const id = selected;
  /** @type {SessionDetail} */
  const detail = await askJson(pathOf(id));
  if (id !== selected) return;
  element('detail-title').textContent = `${detail.name}, ${detail.origin}`;
  const rows = detail.settings.map(({ key, value, from }) =>
    make('tr', {}, make('td', { text: key }), make('td', { text: value }), make('td', { text: from })),
  );
  element('settings').tBodies[0].replaceChildren(...rows);
  const state = detail.status?.data?.writeBack;
  const files = state?.files ?? [];
  element('missing-note').textContent =
    state === undefined
      ? 'This session keeps nothing back.'
      : files.length === 0
        ? 'Nothing: the origin has all of it.'
        : state.filesLeftOff > 0
          ? `and ${state.filesLeftOff} more files`
          : '';
  element('missing').tBodies[0].replaceChildren(
    ...files.map((file) =>
      make(
        'tr',
        {},
        make('td', { text: nameOf(file) }),
        make('td', { className: 'number', text: sizeText(file.bytes) }),
      ),
    ),
  );
}

/** @param {any} file */
function nameOf(file) {
  return file.path ?? file.name ?? file.handle ?? '';
}

/** Runs what a button stands for; what goes wrong is told where everything else is. @param {string} id @param {() => Promise<void>} action */
async function act(id, action) {
  try {
    await action();
  } catch (error) {
    note(`${views.get(id)?.name ?? id}: ${error instanceof Error ? error.message : error}`, new Date());
  }
  await refresh();
}

/** @param {string} id */
async function startWriteBack(id) {
  tasks.set(id, 0);
  try {
    await askJson(`${pathOf(id)}/tasks`, { method: 'POST', body: { task: 'write-back' } });
  } catch (error) {
    tasks.delete(id);
    throw error;
  }
}

/** @param {string} id */
async function closeSession(id) {
  const view = views.get(id);
  if (view === undefined) return;
  /** @type {SessionDetail} */
  const detail = await askJson(pathOf(id));
  const state = detail.status?.data?.writeBack;
  const bytes = state?.pendingBytes ?? 0;
  /** @type {HTMLDialogElement} */
  const dialog = element('closing');
  element('closing-title').textContent = `Close ${view.name}?`;
  element('closing-note').textContent =
    bytes > 0
      ? `${sizeText(bytes)} are not at the origin. Clients at ${view.url ?? 'its address'} lose their server.`
      : `Clients at ${view.url ?? 'its address'} lose their server.`;
  const kinds = bytes === 0 ? ['clean'] : state?.policy === 'redirect' ? ['keep', 'redirect'] : ['write-back', 'keep'];
  for (const button of dialog.querySelectorAll('button'))
    button.hidden = button.value !== '' && !kinds.includes(button.dataset.for ?? '');
  dialog.returnValue = '';
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener('close', resolve, { once: true }));
  if (dialog.returnValue === '') return;
  const query = dialog.returnValue === 'close' ? '' : `?changes=${dialog.returnValue}`;
  await askJson(`${pathOf(id)}${query}`, { method: 'DELETE' });
}

/** @param {DaemonEvent} event */
function take(event) {
  const { session = '', progress, result, error, view } = event;
  if (event.kind === 'task-progress') {
    if (progress !== undefined && progress.totalBytes > 0)
      tasks.set(session, Math.max(0, 1 - progress.pendingBytes / progress.totalBytes));
    return;
  }
  if (event.kind === 'task-ended') tasks.delete(session);
  const name = view?.name ?? views.get(session)?.name ?? session;
  const what =
    event.message ??
    [
      event.kind.replace('-', ' '),
      event.task?.task,
      view?.state,
      result?.outcome,
      error?.cause,
      ...(result?.problems ?? []),
    ]
      .filter((part) => part !== undefined)
      .join(': ');
  note(name === '' || what.includes(name) ? what : `${name}: ${what}`, new Date(event.time));
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
  element('login').hidden = false;
  answer('This daemon wants its token.', 'waiting');
}

async function begin() {
  try {
    const daemon = await askJson('/daemon');
    element('daemon').textContent = `${daemon.version}, pid ${daemon.pid}`;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return askForToken();
  }
  element('login').hidden = true;
  element('main').hidden = false;
  plots ??= new Plots();
  following = new AbortController();
  void followEvents(take, following.signal);
  while (await refresh()) {
    await new Promise((resolve) => setTimeout(resolve, periodMs));
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
takeToken();
void begin();
