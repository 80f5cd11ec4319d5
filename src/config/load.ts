/**
 * A configuration file on the disk, and what must be there beside it.
 *
 *     inspectConfiguration   everything that is wrong, for `viaduct config check`
 *     loadConfiguration      what holds, or one error that lists all that is wrong
 */
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { counted, type Log, silentLog, systemCode, ViaductError } from '../base/mod.ts';
import { Collector } from './collector.ts';
import type { Configuration } from './configuration.ts';
import { hasErrors, parseText, placed } from './parse.ts';
import { type ConfigurationProblem, headOf } from './problem.ts';
import { readText } from './read-text.ts';

export interface InspectedConfiguration {
  /** As it was given: problems are told with it. */
  readonly file: string;
  /** Absent if the file could not be read. */
  readonly text?: string | undefined;
  /** Absent if there are errors. */
  readonly configuration?: Configuration | undefined;
  readonly problems: readonly ConfigurationProblem[];
}

export async function inspectConfiguration(file: string): Promise<InspectedConfiguration> {
  let text: string;
  try {
    text = await readText(file);
  } catch (error) {
    if (!(error instanceof ViaductError)) throw error;
    const cause = error.message.startsWith(`${file} `) ? `the file${error.message.slice(file.length)}` : error.message;
    const place = { line: 1, column: 1, length: 0, path: '' };
    return { file, problems: [{ ...place, severity: 'error', cause, remedy: error.remedy }] };
  }
  const { root, configuration, findings } = parseText(text, file);
  const collector = new Collector(root);
  await checkTokenFile(configuration, collector);
  const all = [...findings, ...collector.findings];
  return { file, text, ...(hasErrors(all) ? {} : { configuration }), problems: placed(text, all) };
}

/** Rejects with CONFIGURATION_INVALID, which lists everything that is wrong. `log` is told of warnings. */
export async function loadConfiguration(file: string, log: Log = silentLog): Promise<Configuration> {
  const { configuration, problems } = await inspectConfiguration(resolve(file));
  const errors = problems.filter(({ severity }) => severity === 'error');
  if (configuration === undefined) throw listed(resolve(file), errors);
  for (const problem of problems) log.warn({ remedy: problem.remedy }, headOf(problem, resolve(file)));
  return configuration;
}

function listed(file: string, errors: readonly ConfigurationProblem[]): ViaductError {
  const [first, ...others] = errors;
  if (first !== undefined && others.length === 0)
    return new ViaductError('CONFIGURATION_INVALID', { cause: headOf(first, file), remedy: first.remedy });
  const list = errors.map((problem) => `\n  ${headOf(problem, file)} ${problem.remedy}`);
  return new ViaductError('CONFIGURATION_INVALID', {
    cause: `${file} has ${counted(errors.length, 'error')}:${list.join('')}`,
    remedy: `Correct them; \`viaduct config check ${file}\` shows the lines.`,
  });
}

/** Whoever reads the token may do with the daemon what they like. A file that is missing is made by the daemon. */
async function checkTokenFile(configuration: Configuration | undefined, collector: Collector): Promise<void> {
  const file = configuration?.daemon.api.tokenFile;
  if (file === undefined) return;
  const path = ['daemon', 'api', 'token-file'];
  const remake = 'Remove it: the daemon makes one with a new token.';
  try {
    const found = await stat(file);
    const mode = found.mode & 0o777;
    if (!found.isFile()) {
      collector.error(path, { cause: `${file} is not a regular file.`, remedy: 'Name a file; the daemon makes it.' });
    } else if ((mode & 0o077) !== 0) {
      collector.error(path, {
        cause: `${file} is open to others than its owner (mode ${mode.toString(8).padStart(4, '0')}).`,
        remedy: `Run: chmod 600 ${file}. If others may have read it: ${remake.charAt(0).toLowerCase()}${remake.slice(1)}`,
      });
    } else if (found.size === 0) collector.error(path, { cause: `${file} is empty.`, remedy: remake });
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT') return;
    collector.error(path, {
      cause: `${file} cannot be looked at (${code ?? String(error)}).`,
      remedy: 'Check the folders above it, and who may enter them.',
    });
  }
}
