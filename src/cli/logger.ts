/** The log of a process: pino on stderr, as lines for people on a terminal and as JSON for everything else. */
import { pino } from 'pino';
import type { Log } from '../base/mod.ts';

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevelName = (typeof logLevels)[number];

export function createLog(level: LogLevelName, stream: NodeJS.WriteStream = process.stderr): Log {
  const destination = { write: (line: string) => void stream.write(stream.isTTY ? forPeople(line) : line) };
  const logger = pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination);
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
  };
}

const names: Readonly<Record<number, string>> = { 20: 'debug', 30: 'info ', 40: 'WARN ', 50: 'ERROR' };

/** `12:34:56.789 WARN  message  field=value` */
function forPeople(line: string): string {
  const { level, time, msg, ...fields }: { level: number; time: string; msg: string } = JSON.parse(line);
  const rest = Object.entries(fields).map(
    ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return `${time.slice(11, 23)} ${names[level] ?? level} ${msg}${rest.length > 0 ? `  ${rest.join(' ')}` : ''}\n`;
}
