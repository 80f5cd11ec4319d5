/** One pack at the origin, as far as it turned out to be of use. Its bytes are believed only by the digests of its chunks. */
import type { FileHandle } from '../../vfs/mod.ts';

export class Pack {
  readonly handle: FileHandle;
  /** Groups that did not decode or had a wrong chunk in them. */
  readonly badGroups = new Set<number>();
  /** Keys of credentials that may not read it. */
  readonly refused = new Set<string>();
  /** The file ends here: groups beyond are missing. */
  end: number;
  /** The handle is stale: another one was put in its place. */
  isGone = false;
  /** The origin failed: not asked again before. */
  restUntilMs = 0;

  constructor(handle: FileHandle, end: number) {
    this.handle = handle;
    this.end = end;
  }
}
