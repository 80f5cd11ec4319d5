/** Where objects lie: what a `Filesystem` whose handles mean more to it than to NFS can tell beside the protocol. */
import type { FileHandle } from './filesystem.ts';

export interface TreeLocator {
  /**
   * Whether the object is `tree` or lies below it, by any of its names; `unknown` if that cannot be told. Synchronous, some
   * microseconds; longer for files with several names.
   */
  isWithin(object: FileHandle, tree: FileHandle): boolean | 'unknown';
  /** The path of a directory from the root of the export, `/` for the root itself; undefined if it is not there (any more). */
  pathOf(directory: FileHandle): string | undefined;
}
