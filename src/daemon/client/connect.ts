/** Finds a running daemon. That there is none is no error: commands then work alone. */
import { type Clock, systemClock, ViaductError } from '../../base/mod.ts';
import { socketPath } from '../api/socket-path.ts';
import { type DaemonClient, probe } from './client.ts';
import type { Where } from './transport.ts';

/** By its socket, or over TCP: `http://127.0.0.1:7446`. */
export type DaemonAddress = { readonly runtimeDirectory: string } | { readonly url: string; readonly token: string };

const answerMs = 2_000;

/** Undefined: no daemon runs there; the socket of one that died is none. Rejects if one is there and may not be asked, or does not answer. */
export function connectDaemon(
  address: DaemonAddress,
  { clock = systemClock }: { readonly clock?: Clock | undefined } = {},
): Promise<DaemonClient | undefined> {
  return probe(placeOf(address), clock, answerMs);
}

function placeOf(address: DaemonAddress): Where {
  if ('runtimeDirectory' in address) return { socketPath: socketPath(address.runtimeDirectory) };
  const url = URL.canParse(address.url) ? new URL(address.url) : undefined;
  if (url === undefined || url.protocol !== 'http:')
    throw new ViaductError('ADDRESS_INVALID', {
      cause: `${address.url} is no address of a daemon`,
      remedy: 'Write it as http://HOST:PORT.',
    });
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return { host, port: url.port === '' ? 80 : Number(url.port), token: address.token };
}
