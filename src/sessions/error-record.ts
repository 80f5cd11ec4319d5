/** An error as plain data, so that it can be posted between threads and sent as JSON. */
import { type ErrorCode, ViaductError } from '../base/mod.ts';

export interface ErrorRecord {
  readonly code: ErrorCode;
  readonly cause: string;
  readonly remedy: string;
}

export function recordOf(error: unknown): ErrorRecord {
  if (error instanceof ViaductError) return { code: error.code, cause: error.message, remedy: error.remedy };
  return {
    code: 'UNEXPECTED',
    cause: error instanceof Error ? (error.stack ?? error.message) : String(error),
    remedy: 'This is a bug in Viaduct; please report it with this message.',
  };
}

export function errorOf(record: ErrorRecord): ViaductError {
  return new ViaductError(record.code, { cause: record.cause, remedy: record.remedy });
}
