/**
 * What the attribute cache knows, for whoever keeps it over a restart (keepsakes.ts): taken out as it stands, put back as something
 * whose time has run out, so that the origin is asked first whenever it is there.
 */
import type { Attributes, FileHandle, Place } from '../vfs/mod.ts';
import type { FileWitness } from './attribute-cache-options.ts';
import type { AttributeTable } from './attribute-table.ts';
import type { NameTable } from './name-table.ts';

/** Past for every clock, and not before "any age". */
const longAgoMs = -Number.MAX_VALUE;

export class KnownFiles {
  readonly #attributes: AttributeTable;
  readonly #names: NameTable;
  readonly #witness: FileWitness | undefined;

  constructor(attributes: AttributeTable, names: NameTable, witness?: FileWitness | undefined) {
    this.#attributes = attributes;
    this.#names = names;
    this.#witness = witness;
  }

  /** The attributes last seen, if nothing that was learned since speaks against them. */
  attributes(handle: string): Attributes | undefined {
    return this.#attributes.last(handle)?.attributes;
  }

  /** Whether the name is last known to mean the file. */
  isNamed(directory: string, name: string, handle: string): boolean {
    return this.#names.object(directory, name) === handle;
  }

  /** What names were last known to mean, however long ago. */
  names(): Iterable<readonly [Place, FileHandle]> {
    return this.#names.all();
  }

  putAttributes(handle: string, attributes: Attributes): void {
    this.#attributes.putBack(handle, attributes);
    this.#witness?.seen(handle, attributes);
  }

  putName(directory: string, name: string, handle: string): void {
    this.#names.record(directory, name, handle, longAgoMs);
    this.#witness?.named(directory, name, handle);
  }

  /** The origin let the caller search the directory. */
  putSearcher(directory: string, credentialKey: string): void {
    this.#names.admit(directory, credentialKey);
  }
}
