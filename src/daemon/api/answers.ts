/**
 * Errors as the API tells them: `{code, cause, remedy}` and an HTTP status. What the manager rejects with has a code of the catalogue, and
 * the code says the status; what is wrong with the request itself says its status where it is found.
 */

import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import { type ErrorCode, ViaductError } from '../../base/mod.ts';

export interface Answer {
  readonly status: number;
  readonly body: { readonly code: string; readonly cause: string; readonly remedy: string };
}

/** An error that knows its HTTP status. */
export class RefusedRequest extends ViaductError {
  readonly status: number;

  constructor(status: number, code: ErrorCode, cause: string, remedy: string) {
    super(code, { cause, remedy });
    this.status = status;
  }
}

const remedies: Readonly<Record<number, string>> = {
  400: 'Send what docs/api.md says for this path; GET /v1/openapi.json has the same for programs.',
  404: 'GET /v1/openapi.json lists the paths there are.',
  405: 'Use one of the methods in the header Allow.',
  408: 'Send the whole request at once.',
  413: 'Send less.',
  415: 'Send the body as application/json.',
  431: 'Send shorter headers and a shorter URL.',
};

export function refused(status: number, cause: string): RefusedRequest {
  return new RefusedRequest(status, 'REQUEST_REFUSED', cause, remedies[status] ?? remedies[400]!);
}

/** Codes that are not 409: the state of something here, or at the origin, is in the way of what was asked. */
const statuses: Readonly<Partial<Record<ErrorCode, number>>> = {
  ADDRESS_INVALID: 400,
  CONFIGURATION_INVALID: 400,
  ORIGIN_INVALID: 400,
  REQUEST_REFUSED: 400,
  TOKEN_REFUSED: 401,
  NOT_ALLOWED: 403,
  PRIVILEGE_NEEDED: 403,
  SESSION_NOT_FOUND: 404,
  TASK_NOT_FOUND: 404,
  DAEMON_BUSY: 503,
  DISK_FULL: 503,
  ORIGIN_UNREACHABLE: 503,
  STORE_FAILED: 503,
  TIMED_OUT: 503,
  UNEXPECTED: 500,
};

/** `onBug` hears of what nobody expected; the caller is not told more than that. */
export function answerOf(error: unknown, onBug: (error: unknown) => void): Answer {
  if (error instanceof RefusedRequest) return { status: error.status, body: error.toJSON() };
  if (error instanceof ViaductError) {
    if (error.code === 'UNEXPECTED') onBug(error);
    return { status: statuses[error.code] ?? 409, body: error.toJSON() };
  }
  if (hasZodFastifySchemaValidationErrors(error)) {
    const problems = error.validation.slice(0, mostProblems).map(problemOf);
    return answerOf(refused(400, `the request is not what this path takes: ${problems.join('; ')}`), onBug);
  }
  const status = statusOf(error);
  // What fastify and Node find wrong with a request.
  if (status !== undefined) return answerOf(refused(status, messageOf(error)), onBug);
  onBug(error);
  const remedy = 'This is a bug in Viaduct; the log of the daemon has more of it. Please report it.';
  return { status: 500, body: { code: 'UNEXPECTED', cause: messageOf(error), remedy } };
}

const mostProblems = 8;

function problemOf({ instancePath, message, params }: Validation): string {
  const keys = 'keys' in params && Array.isArray(params.keys) ? params.keys : undefined;
  const path = instancePath === '/' ? '' : instancePath;
  if (keys !== undefined)
    return keys.map((key) => `${path}/${String(key).slice(0, 64)}: there is no such property`).join('; ');
  return `${path === '' ? 'the body' : path}: ${message ?? 'it does not fit'}`;
}

interface Validation {
  readonly instancePath: string;
  readonly message?: string | undefined;
  readonly params: object;
}

function statusOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('statusCode' in error)) return undefined;
  const { statusCode } = error;
  return typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500 ? statusCode : undefined;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
