// @ts-check
/**
 * The dialog before something that is not easily undone: a session's end, and a redirect session's changes on their way to the origin.
 *
 *   what the session says of itself ──► the choices that there are ──► '' (nothing happens), or the chosen one
 */
import { askJson, pathOf } from './api.js';
import { element, put } from './dom.js';
import { sizeText } from './figures.js';

/** @typedef {import('./api.js').SessionDetail} SessionDetail */

/** Closes the session, if somebody says how. @param {string} id */
export async function closeSession(id) {
  /** @type {SessionDetail} */
  const detail = await askJson(pathOf(id));
  const chosen = await choose(`Close ${detail.name}?`, closingNote(detail), choicesFor(detail), 'Leave it open');
  if (chosen === '') return;
  const query = chosen === 'close' ? '' : `?changes=${chosen}`;
  await askJson(`${pathOf(id)}${query}`, { method: 'DELETE' });
}

/** The task that brings all changes to the origin; undefined: not wanted. @param {string} id */
export async function writeBackTask(id) {
  /** @type {SessionDetail} */
  const detail = await askJson(pathOf(id));
  const state = detail.status?.data?.writeBack;
  if (state?.policy !== 'redirect') return { task: 'write-back' };
  const chosen = await choose(
    `Change the origin of ${detail.name}?`,
    `This session keeps its ${sizeText(state.pendingBytes)} of changes on this host, and the origin has not changed so far.`,
    ['commit'],
    'Leave them here',
  );
  return chosen === '' ? undefined : { task: 'redirect', how: 'commit' };
}

/** @param {SessionDetail} detail */
function closingNote({ status, state, url }) {
  const clients = url === undefined ? '' : ` Clients at ${url} lose their server.`;
  if (status?.data === undefined)
    return `It is ${state}, and does not say whether the origin has all of it. What it keeps can stay on this host.${clients}`;
  const { pendingBytes = 0, conflicts = [] } = status.data.writeBack ?? {};
  const missing =
    pendingBytes > 0 ? `${sizeText(pendingBytes)} are not at the origin.` : 'Everything is at the origin.';
  const conflicting = conflicts.length > 0 ? ` ${conflicts.length} files are in conflict.` : '';
  return `${missing}${conflicting}${clients}`;
}

/** @param {SessionDetail} detail */
function choicesFor({ status, settings }) {
  const state = status?.data?.writeBack;
  const holds = state !== undefined && (!state.isAtOrigin || state.pendingBytes > 0 || state.conflicts.length > 0);
  const isRedirect = settings.some(({ key, value }) => key === 'writes' && value === 'redirect');
  if (status?.data === undefined) return isRedirect ? ['keep', 'discard'] : ['keep'];
  if (!holds) return ['close'];
  return isRedirect ? ['write-back', 'keep', 'discard'] : ['write-back', 'keep'];
}

/**
 * @param {string} title
 * @param {string} note
 * @param {readonly string[]} choices values of the dialog's buttons
 * @param {string} leave
 * @returns {Promise<string>}
 */
async function choose(title, note, choices, leave) {
  /** @type {HTMLDialogElement} */
  const dialog = element('closing');
  put(element('closing-title'), title);
  put(element('closing-note'), note);
  for (const button of dialog.querySelectorAll('button')) {
    button.hidden = button.value !== '' && !choices.includes(button.value);
    if (button.value === '') put(button, leave);
  }
  // Escape leaves the value as it is.
  dialog.returnValue = '';
  const closed = new Promise((resolve) => dialog.addEventListener('close', resolve, { once: true }));
  dialog.showModal();
  await closed;
  return dialog.returnValue;
}
