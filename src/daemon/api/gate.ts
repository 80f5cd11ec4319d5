/**
 * Who may ask over TCP. The Unix socket needs none of this: only its owner can open it.
 *
 *     Host      an IP address, `localhost` or the host's own name: a name of somebody else's that points here (DNS rebinding) is refused
 *     Origin    absent, or the page that this daemon serves
 *     token     `Authorization: Bearer TOKEN`; the files of the page need none, they hold nothing
 *
 * A browser sends the header only for a page that knows the token, so a foreign page can do nothing with a visitor's browser.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { RefusedRequest } from './answers.ts';

export interface GateOptions {
  readonly token: string;
  readonly hostName: string;
}

export class Gate {
  #digest: Buffer;
  readonly #hostName: string;

  constructor({ token, hostName }: GateOptions) {
    this.#digest = digestOf(token);
    this.#hostName = hostName.toLowerCase();
  }

  /** True: it was another one until now. */
  replaceToken(token: string): boolean {
    const digest = digestOf(token);
    const isOther = !timingSafeEqual(digest, this.#digest);
    this.#digest = digest;
    return isOther;
  }

  /** Why the request is not served; undefined: it is. */
  refusal(request: IncomingMessage): RefusedRequest | undefined {
    const { host, origin, authorization } = request.headers;
    if (host === undefined || !this.#isOurs(host)) return notOurs(`it was sent to the host ${shown(host)}`);
    if (origin !== undefined && origin !== `http://${host}`) return notOurs(`it comes from a page of ${shown(origin)}`);
    if (isPublic(request.url ?? '')) return undefined;
    if (this.#fits(authorization)) return undefined;
    return new RefusedRequest(
      401,
      'TOKEN_REFUSED',
      authorization === undefined
        ? 'the request has no token'
        : 'the token of the request is not the one of this daemon',
      'Send "Authorization: Bearer TOKEN" with the token in the file that the daemon’s configuration names (api: token-file).',
    );
  }

  #isOurs(host: string): boolean {
    const name = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+))(?::\d{1,5})?$/.exec(host);
    const bare = (name?.[1] ?? name?.[2] ?? '').toLowerCase();
    return isIP(bare) !== 0 || bare === 'localhost' || (bare !== '' && bare === this.#hostName);
  }

  /** In constant time: digests are as long as each other, whatever was sent. */
  #fits(authorization: string | undefined): boolean {
    const sent = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1];
    return timingSafeEqual(digestOf(sent ?? ''), this.#digest) && sent !== undefined;
  }
}

function isPublic(url: string): boolean {
  return url === '/' || url.startsWith('/page/');
}

function notOurs(what: string): RefusedRequest {
  return new RefusedRequest(
    403,
    'TOKEN_REFUSED',
    `the request is refused: ${what}`,
    'Ask by the IP address of the daemon, by "localhost" or by its host’s own name, and from no page but its own.',
  );
}

function shown(text: string | undefined): string {
  return text === undefined ? 'of no name' : JSON.stringify(text.slice(0, 100));
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
