/**
 * Who may read and change what is in the log: whom the origin would let, as its ACCESS says; and the owner of a file, whom
 * servers let read and write whatever the mode is, since NFS has no open that was checked before (RFC 1813 4.4). Whether this
 * origin does is asked once, by an operation that changes nothing: a WRITE of no bytes (3.3.7), a READ of one.
 */
import { chain, type Eventual, limits } from '../../base/mod.ts';
import * as vfs from '../../vfs/mod.ts';
import { BoundedMap } from '../bounded-map.ts';

/** `denied`: the origin has to decide, on the call itself. */
export type Verdict = 'granted' | 'denied' | vfs.Failure;

interface OwnerGrant {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  touched: boolean;
}

export class Admission {
  readonly #next: vfs.Filesystem;
  /** Redirect: who may read may write, since nothing reaches the origin. */
  readonly #readersWrite: boolean;
  /** Of owners, by file and credential, as long as the file's permissions stay the same. */
  readonly #owners = new BoundedMap<string, OwnerGrant>(limits.writeBackRecords);

  #knowsSuperuser = false;

  constructor(next: vfs.Filesystem, readersWrite: boolean) {
    this.#next = next;
    this.#readersWrite = readersWrite;
  }

  /** Who owns what user 0 makes tells whether user 0 is the superuser there, or squashed. */
  sawMade(call: vfs.Call, attributes: vfs.Attributes | undefined): void {
    if (call.credential.uid === 0 && attributes?.uid === 0) this.#knowsSuperuser = true;
  }

  /** Who may choose a file's times. */
  ownsTimes(call: vfs.Call, attributes: vfs.Attributes): boolean {
    const { uid } = call.credential;
    return uid === attributes.uid || (uid === 0 && this.#knowsSuperuser);
  }

  write(call: vfs.Call, object: vfs.FileHandle, attributes: vfs.Attributes): Eventual<Verdict> {
    if (this.#readersWrite) return this.read(call, object, attributes);
    return chain(this.#next.access(call, { object, access: vfs.Access.MODIFY }), (reply) => {
      if (reply.status !== 0) return reply.status;
      if ((reply.access & vfs.Access.MODIFY) !== 0) return 'granted';
      return this.#owner('w', call, object, attributes, () => {
        const nothing = { object, offset: 0, count: 0, stable: vfs.Stability.FILE_SYNC, data: [] };
        return chain(this.#next.write(call, nothing), ({ status }) => status === 0);
      });
    });
  }

  read(call: vfs.Call, object: vfs.FileHandle, attributes: vfs.Attributes): Eventual<Verdict> {
    return chain(this.#next.access(call, { object, access: vfs.Access.READ }), (reply) => {
      if (reply.status !== 0) return reply.status;
      if ((reply.access & vfs.Access.READ) !== 0) return 'granted';
      return this.#owner('r', call, object, attributes, () => this.mayRead(call, object));
    });
  }

  /** Whether the origin lets the caller read, whatever ACCESS says. */
  mayRead(call: vfs.Call, object: vfs.FileHandle): Eventual<boolean> {
    return chain(this.#next.read(call, { object, offset: 0, count: 1 }), (reply) => {
      if (reply.status === 0) reply.release?.();
      return reply.status === 0;
    });
  }

  #owner(
    what: 'r' | 'w',
    call: vfs.Call,
    object: vfs.FileHandle,
    { mode, uid, gid }: vfs.Attributes,
    ask: () => Eventual<boolean>,
  ): Eventual<Verdict> {
    if (call.credential.uid !== uid) return 'denied';
    const key = `${what}${call.credential.key} ${object}`;
    const known = this.#owners.get(key);
    if (known?.mode === mode && known.uid === uid && known.gid === gid) {
      known.touched = true;
      return 'granted';
    }
    return chain(ask(), (isGranted) => {
      if (!isGranted) return 'denied';
      this.#owners.set(key, { mode, uid, gid, touched: true });
      return 'granted';
    });
  }
}
