/** A file whose meta-data was found and accepted: what is known of its bytes, and where the rest of that knowledge is. */
import type { FileHandle } from '../../vfs/mod.ts';
import type { FileContent } from './file-content.ts';
import type { MetaFile } from './meta-file.ts';
import type { Pack } from './pack.ts';

export interface Described {
  readonly handle: FileHandle;
  /** For messages. */
  readonly name: string;
  readonly content: FileContent;
  readonly meta: MetaFile;
  /** Absent: there is none, or it is not the one that the meta-data names, or nobody knows yet. */
  pack: Pack | undefined;
  /** Until that is known. The zeros are known before: in an outage they are all that there is. */
  packComing: Promise<void> | undefined;
  /** Pages that are damaged or cannot be read. */
  readonly badPages: Set<number>;
  /** Somebody was told that it is damaged. */
  isReported: boolean;
}
