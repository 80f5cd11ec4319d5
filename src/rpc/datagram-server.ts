/**
 * ONC RPC over UDP: each datagram is one message, without record marks. Only small, immediate programs are served so (the
 * portmapper); a datagram that is no call, or from an address that is not allowed, is dropped without a word.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import type { Log } from '../base/mod.ts';
import { type WriterMark, XdrWriter } from '../xdr/mod.ts';
import { CredentialReader } from './auth.ts';
import type { AnyServed, Peer, ReplyChannel } from './channel.ts';
import { Dispatcher } from './dispatch.ts';
import { anyUid, type PeerPolicy, plainAddress } from './peer-policy.ts';
import type { RpcProgram } from './procedure.ts';
import { type ListenAddress, listenError } from './server.ts';

const replyArenaBytes = 1024;
/** The largest UDP payload over IPv4. */
const datagramBytes = 65_507;

export interface DatagramServerOptions {
  readonly programs: readonly RpcProgram[];
  readonly log: Log;
  readonly admit?: PeerPolicy | undefined;
}

export class DatagramServer {
  readonly #dispatcher: Dispatcher;
  readonly #options: DatagramServerOptions;
  #socket: Socket | undefined;

  constructor(options: DatagramServerOptions) {
    this.#options = options;
    this.#dispatcher = new Dispatcher(options);
  }

  listen(host: string, port: number): Promise<ListenAddress> {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    socket.on('message', (message, from) => this.#receive(socket, message, from));
    return new Promise((resolve, reject) => {
      socket.once('error', (error) => {
        socket.close();
        reject(listenError(host, port, error));
      });
      socket.bind(port, host, () => {
        socket.removeAllListeners('error');
        socket.on('error', (error) => this.#options.log.warn({ error: error.message }, 'a UDP socket failed'));
        this.#socket = socket;
        const address = socket.address();
        resolve({ host: address.address, port: address.port });
      });
    });
  }

  async close(): Promise<void> {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket !== undefined) await new Promise<void>((resolve) => socket.close(resolve));
  }

  #receive(socket: Socket, message: Buffer, from: RemoteInfo): void {
    const address = plainAddress(from.address);
    if (this.#options.admit?.allows(address) === false) return;
    const peer = { name: `${address}:${from.port}`, address, port: from.port };
    const send = (pieces: Buffer[]): void => socket.send(pieces, from.port, from.address, () => undefined);
    const reason = this.#dispatcher.serve([message], new DatagramChannel(peer, send));
    if (reason !== undefined) this.#options.log.debug({ peer: peer.name, reason }, 'datagram dropped');
  }
}

/** Lives as long as one datagram and its answer. */
class DatagramChannel implements ReplyChannel {
  readonly peer: Peer;
  readonly credentials = new CredentialReader(anyUid);
  readonly writer = new XdrWriter(replyArenaBytes);
  readonly open = true;
  readonly #send: (pieces: Buffer[]) => void;
  #release: (() => void) | undefined;

  constructor(peer: Peer, send: (pieces: Buffer[]) => void) {
    this.peer = peer;
    this.#send = send;
  }

  begin(): WriterMark {
    return this.writer.mark();
  }

  finish(): void {
    if (this.writer.length() <= datagramBytes) this.#send(this.writer.take());
    this.#release?.();
  }

  releaseLater(served: AnyServed, reply: unknown): void {
    this.#release = () => served.release?.(reply);
  }

  holds(): boolean {
    return false;
  }

  hold(): void {}

  unhold(): void {}
}
