/** What exit codes mean, for help texts and manual pages; docs/errors.md has the details. */

export interface ExitCodeRow {
  readonly code: string;
  /** For one line of help. */
  readonly short: string;
  readonly text: string;
}

export const exitCodeRows: readonly ExitCodeRow[] = [
  { code: '0', short: 'done', text: 'Done, or ended by SIGINT or SIGTERM after a clean shutdown.' },
  { code: '1', short: 'operating error', text: 'An operating error; its code is in the message.' },
  {
    code: '2',
    short: 'not understood',
    text: 'The command line or a configuration file was not understood, or a FILE or directory that it names is not there.',
  },
  {
    code: '3',
    short: 'doctor or verify found something',
    text: 'doctor found a failure; a verification found damage; not all could be salvaged.',
  },
  {
    code: '4',
    short: 'not written back (conflict, or refused)',
    text: 'A file is in conflict, or the origin refuses changes. Nothing is lost.',
  },
  { code: '5', short: 'write lease lost', text: 'Another host took the write lease. What is here is kept.' },
  { code: '6', short: 'a time ran out', text: 'A time ran out. What was begun goes on.' },
  {
    code: '69',
    short: 'no Node.js 24 or no packages',
    text: 'There is no Node.js 24, or its packages are not installed.',
  },
  { code: '70', short: 'a bug', text: 'A bug in Viaduct.' },
  {
    code: '130 and 143',
    short: 'ended by SIGINT and SIGTERM before all was done',
    text: 'Ended by SIGINT or SIGTERM before all was done.',
  },
  {
    code: '141',
    short: 'nobody reads what it prints any more',
    text: 'Nobody reads any more what the command prints.',
  },
];

/** For the help, in lines of its width. */
export function exitCodesText(): string {
  const words = `Exit codes: ${exitCodeRows.map(({ code, short }) => `${code} ${short}`).join(', ')}. Codes: docs/errors.md.`;
  return words.replaceAll(/(.{1,130})(?: |$)/g, '$1\n').trimEnd();
}
