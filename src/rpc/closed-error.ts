/** A call that could not end because its client was closed on this side: the session is ending, nothing is wrong. */
import { ViaductError } from '../base/mod.ts';

export class ClosedError extends ViaductError {
  constructor(server: string) {
    super('ORIGIN_UNREACHABLE', {
      cause: `the connection to ${server} has been closed on this side`,
      remedy: 'Nothing: the session or command that used it has ended.',
    });
  }
}
