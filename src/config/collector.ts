/** Where checks put what they find: each with the places of the keys that it is about. */
import { type Located, locate } from './document.ts';
import { type Finding, formatPath, type Path, type Severity } from './problem.ts';
import type { Range } from './source-text.ts';

interface Told {
  readonly cause: string;
  readonly remedy: string;
  /** Point at the key, not at its value. */
  readonly atKey?: boolean;
  /** The other place of a contradiction. */
  readonly other?: Path | undefined;
}

export class Collector {
  readonly root: Located;
  readonly findings: Finding[] = [];

  constructor(root: Located) {
    this.root = root;
  }

  error(path: Path, told: Told): void {
    this.#add('error', path, told);
  }

  warning(path: Path, told: Told): void {
    this.#add('warning', path, told);
  }

  /** Keys of the mapping at the path, as they are written, whether what they hold is right or not. */
  namesAt(path: Path): string[] {
    let at: Located | undefined = this.root;
    for (const part of path) at = at?.children?.get(part);
    return [...(at?.children?.keys() ?? [])].map(String);
  }

  #add(severity: Severity, path: Path, { cause, remedy, atKey, other }: Told): void {
    this.findings.push({
      severity,
      range: this.#range(path, atKey === true),
      path: formatPath(path),
      cause,
      remedy,
      ...(other === undefined ? {} : { other: { range: this.#range(other, false), path: formatPath(other) } }),
    });
  }

  /** Of what is left open: the place where it would stand. A mapping as a whole is pointed at by its key. */
  #range(path: Path, atKey: boolean): Range {
    const { key, range, children } = locate(this.root, path);
    return key !== undefined && (atKey || children !== undefined) ? key : range;
  }
}
