/**
 * YAML text to plain values, each with its place in the text.
 *
 *     text ──yaml──► nodes ──walk──► Located { value, range, key, children }     what is wrong ──► findings
 *
 * YAML 1.2, core schema, one document, keys are words. Bounded: values are counted as often as aliases repeat them, nesting is bounded, and
 * nothing here takes more than linear time. Objects have no prototype's keys: `__proto__` is refused.
 */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  parseDocument,
  type YAMLError,
  type YAMLMap,
} from 'yaml';
import { assert, limits } from '../base/mod.ts';
import { type Finding, formatPath, type Path } from './problem.ts';
import type { Range } from './source-text.ts';

/** A value with the places of it, of its key, and of what it holds. */
export interface Located {
  readonly value: unknown;
  readonly range: Range;
  readonly key?: Range | undefined;
  readonly children?: ReadonlyMap<string | number, Located> | undefined;
}

export interface LocatedDocument {
  readonly root: Located;
  readonly findings: readonly Finding[];
}

export function readDocument(text: string): LocatedDocument {
  const control = /[^\P{Cc}\t\n\r\x85]/u.exec(text);
  const nothing: Located = { value: undefined, range: [0, 0] };
  if (control !== null) {
    const finding = syntax(
      [control.index, control.index + 1],
      `there is a control character here (code ${control[0].charCodeAt(0)}).`,
      'Remove it; the file must be plain text.',
    );
    return { root: nothing, findings: [finding] };
  }
  const document = parseDocument(text, {
    version: '1.2',
    schema: 'core',
    stringKeys: true,
    // It compares each key with each other; the walk does it once.
    uniqueKeys: false,
    merge: false,
    resolveKnownTags: false,
    prettyErrors: false,
  });
  const findings = syntaxFindings([...document.errors, ...document.warnings]);
  if (document.directives.yaml.version !== '1.2') {
    findings.push(syntax([0, 5], 'this says that it is YAML 1.1.', 'Remove the %YAML line; the file is YAML 1.2.'));
  }
  if (findings.length > 0) return { root: nothing, findings };
  const walk = new Walk(text.length);
  const root = document.contents === null ? nothing : walk.visit(document.contents, [], undefined);
  return { root, findings: walk.findings };
}

/** The value at the path, else the nearest above it that is there. */
export function locate(root: Located, path: Path): Located {
  let found = root;
  for (const part of path) {
    const child = found.children?.get(part);
    if (child === undefined) return found;
    found = child;
  }
  return found;
}

class Walk {
  readonly findings: Finding[] = [];
  readonly #anchors = new Map<string, Node>();
  /** Nodes that are being visited: an alias to one of them would never end. */
  readonly #open = new Set<Node>();
  readonly #end: number;
  #values = 0;

  constructor(end: number) {
    this.#end = end;
  }

  visit(node: Node, path: Path, key: Range | undefined): Located {
    const range = this.#rangeOf(node);
    const broken: Located = { value: undefined, range, key };
    if (this.#values > limits.configurationValues) return broken;
    if (++this.#values > limits.configurationValues) {
      return this.#refuse(broken, path, {
        cause: `there are more than ${limits.configurationValues} values here, counting what aliases repeat.`,
        remedy: 'Write less, or repeat less by aliases (*NAME).',
      });
    }
    if (path.length > limits.configurationDepth) {
      return this.#refuse(broken, path, {
        cause: `this lies deeper than ${limits.configurationDepth} levels.`,
        remedy: 'No key of this file lies so deep: check the indentation.',
      });
    }
    if (isAlias(node)) return this.#visitAlias(node.source, path, broken);
    if ('anchor' in node && node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    if (isScalar(node)) return { value: node.value, range, key };
    this.#open.add(node);
    const children = new Map<string | number, Located>();
    let value: unknown;
    if (isMap(node)) value = this.#visitMap(node, path, children);
    else {
      assert(isSeq(node), 'YAML has scalars, maps, sequences and aliases');
      const items = node.items.map((item, index) => {
        const child = this.visit(item as Node, [...path, index], undefined);
        children.set(index, child);
        return child.value;
      });
      value = items;
    }
    this.#open.delete(node);
    return { value, range, key, children };
  }

  #visitMap(node: YAMLMap, path: Path, children: Map<string | number, Located>): Record<string, unknown> {
    const object: Record<string, unknown> = {};
    for (const pair of node.items as Pair<Node, Node | null>[]) {
      const key = this.#rangeOf(pair.key);
      const name = isScalar(pair.key) ? String(pair.key.value) : '';
      const at = [...path, name];
      const earlier = children.get(name);
      if (name === '__proto__') {
        this.#find(key, at, 'this cannot be a key.', 'Choose another name.');
      } else if (name === '<<') {
        this.#find(key, at, 'merge keys (<<) are not understood.', 'Write the keys out, or name a policy and use it.');
      } else if (earlier !== undefined) {
        this.findings.push({
          severity: 'error',
          range: key,
          path: formatPath(at),
          cause: `the key ${JSON.stringify(name)} is there twice.`,
          remedy: 'Remove one of the two.',
          other: { range: earlier.key ?? earlier.range, path: `${formatPath(at)} before` },
        });
      } else {
        const child = isNothing(pair.value) ? { value: null, range: key, key } : this.visit(pair.value!, at, key);
        children.set(name, child);
        object[name] = child.value;
      }
    }
    return object;
  }

  #visitAlias(name: string, path: Path, broken: Located): Located {
    const target = this.#anchors.get(name);
    if (target === undefined) {
      return this.#refuse(broken, path, {
        cause: `there is no anchor &${name} above this alias.`,
        remedy: `Write &${name} before the value that is meant, or quote "*${name}" if it is text.`,
      });
    }
    if (this.#open.has(target)) {
      return this.#refuse(broken, path, {
        cause: `the alias *${name} stands within what it repeats.`,
        remedy: 'Write the value out.',
      });
    }
    return { ...this.visit(target, path, broken.key), range: broken.range };
  }

  #refuse(broken: Located, path: Path, { cause, remedy }: { cause: string; remedy: string }): Located {
    this.#find(broken.range, path, cause, remedy);
    return broken;
  }

  #find(range: Range, path: Path, cause: string, remedy: string): void {
    this.findings.push({ severity: 'error', range, path: formatPath(path), cause, remedy });
  }

  #rangeOf(node: Node | null): Range {
    const range = node?.range;
    return range === undefined || range === null ? [this.#end, this.#end] : [range[0], range[1]];
  }
}

/** `KEY:` alone. What is empty has no place of its own that a person would look at. */
function isNothing(node: Node | null): boolean {
  if (node === null) return true;
  return isScalar(node) && node.value === null && node.anchor === undefined && node.range?.[0] === node.range?.[1];
}

function syntax(range: Range, cause: string, remedy: string): Finding {
  return { severity: 'error', range, path: '', cause, remedy };
}

const depthRemedy = 'No key of this file lies so deep: check brackets and indentation.';
const quoteRemedy = 'Put the text in quotes: "...".';

/** yaml's codes, with what to do. What is not here is told in its words. */
const remedies: Readonly<Record<string, { cause?: string; remedy: string }>> = {
  TAB_AS_INDENT: { cause: 'a tab cannot indent in YAML.', remedy: 'Use spaces, two a level.' },
  MULTIPLE_DOCS: {
    cause: 'a second YAML document begins here.',
    remedy: 'Remove the "---"; the file is one document.',
  },
  RESOURCE_EXHAUSTION: { cause: 'this is nested too deeply.', remedy: depthRemedy },
  NON_STRING_KEY: {
    cause: 'a key must be a word.',
    remedy: 'Write KEY: VALUE, with a plain word or quoted text as the key.',
  },
  BLOCK_AS_IMPLICIT_KEY: {
    cause: 'there are two keys on one line, or a key is indented below a value.',
    remedy: 'Give each key a line of its own; quote a value that holds ": ".',
  },
  MULTILINE_IMPLICIT_KEY: {
    cause: 'a key goes over several lines.',
    remedy: 'Check the indentation and the ":" behind the key above.',
  },
  TAG_RESOLVE_FAILED: { remedy: `Tags (!NAME) mean nothing here. ${quoteRemedy}` },
  BAD_SCALAR_START: { remedy: quoteRemedy },
  BAD_DQ_ESCAPE: { remedy: "Write \\\\ for a backslash, or use single quotes: '...'." },
  MISSING_CHAR: { remedy: 'Check quotes, brackets and the ":" behind keys.' },
  BAD_INDENT: { remedy: 'Keys of one level begin in the same column; check the brackets above, too.' },
};

function syntaxFindings(errors: readonly YAMLError[]): Finding[] {
  const findings: Finding[] = [];
  for (const { code, message, pos } of errors) {
    const known = remedies[code];
    // One cause, told once.
    if (code === 'RESOURCE_EXHAUSTION' && findings.length > 0) continue;
    const cause = known?.cause ?? `${message.charAt(0).toLowerCase()}${message.slice(1)}.`;
    findings.push(syntax(pos, cause, known?.remedy ?? 'Correct the YAML; docs/configuration.md has an example.'));
    if (code === 'RESOURCE_EXHAUSTION') break;
  }
  return findings;
}
