// @ts-check
/** The session that is looked at: what of it is not at the origin, and its settings. */
import { askJson, pathOf } from './api.js';
import { element, make, put } from './dom.js';
import { durationText, sizeText } from './figures.js';

/** @typedef {import('./api.js').SessionDetail} SessionDetail */

/** @param {string} id @param {() => boolean} isWanted still, when the answer is there */
export async function showDetail(id, isWanted) {
  /** @type {SessionDetail} */
  const detail = await askJson(pathOf(id));
  if (!isWanted()) return;
  put(element('detail-title'), `${detail.name}, ${detail.origin}`);
  const error = detail.lastError;
  put(element('detail-error'), error === undefined ? '' : `${error.code}: ${error.cause} ${error.remedy}`);
  fill(
    element('settings'),
    detail.settings.map(({ key, value, from }) => [key, value, from]),
  );
  const state = detail.status?.data?.writeBack;
  const files = state?.files ?? [];
  put(element('missing-note'), missingNote(detail));
  fill(
    element('missing'),
    files.map((file) => [file.path ?? file.handle, sizeText(file.bytes), durationText(file.oldestAgeMs)]),
  );
  element('missing').hidden = files.length === 0;
}

/** @param {SessionDetail} detail */
function missingNote({ status, state }) {
  if (status?.data === undefined) return `It does not say what it keeps: it is ${state}.`;
  const { writeBack } = status.data;
  if (writeBack === undefined) return 'This session keeps nothing back.';
  if (writeBack.pendingBytes === 0 && writeBack.files.length === 0) return 'Nothing: the origin has all of it.';
  const kept =
    writeBack.policy === 'redirect' ? ' Changes stay on this host until somebody has them written back.' : '';
  const more = writeBack.filesLeftOff > 0 ? ` The largest ${writeBack.files.length} are shown.` : '';
  return `${sizeText(writeBack.pendingBytes)} in ${writeBack.pendingFiles} ${writeBack.pendingFiles === 1 ? 'file' : 'files'}.${more}${kept}`;
}

/** Cells stay, so that what is selected in them stays so. @param {HTMLTableElement} table @param {readonly (readonly string[])[]} rows */
function fill(table, rows) {
  const body = /** @type {HTMLTableSectionElement} */ (table.tBodies[0]);
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((texts, index) => {
    const row = body.rows[index] ?? body.insertRow();
    texts.forEach((text, at) => {
      const cell = row.cells[at] ?? row.appendChild(make('td'));
      put(/** @type {HTMLElement} */ (cell), text);
    });
  });
}
