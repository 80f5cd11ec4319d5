/**
 * Globs over paths at an origin, as rules have them. `node:path` has one too, but that skips names that begin with a dot, does not let
 * `/golden/**` match `/golden`, and has no bound on its time; clients choose the names that are matched here.
 *
 *     *      any characters of one name        {a,b}  either; may be nested
 *     ?      one character of a name           [a-z]  one of these; [!a-z] none of these
 *     **     any names, or none                \x     x itself
 *
 * A pattern without a leading `/` matches at any depth: `*.mem` is `**` + `/*.mem`. Upper and lower case differ. Time is at most the
 * pattern's length times that of the path: after a mismatch only the last `*` of a name, and the last `**`, take more.
 */
import { limits, ViaductError } from '../base/mod.ts';

type Token = { readonly kind: 'star' } | { readonly kind: 'one'; readonly accepts: (character: string) => boolean };
type Segment = readonly Token[] | '**';

/** Throws CONFIGURATION_INVALID for a pattern that cannot be meant; `option`: for the error. */
export function globMatcher(pattern: string, option = 'path'): (path: string) => boolean {
  const alternatives = expand(pattern, option).map((text) => segmentsOf(text, option));
  return (path) => {
    const names = path.split('/').filter((name) => name !== '');
    return alternatives.some((segments) =>
      glide(
        segments,
        names,
        (segment) => segment === '**',
        (segment, name) => matchesName(segment as Token[], name),
      ),
    );
  };
}

function matchesName(tokens: readonly Token[], name: string): boolean {
  return glide(
    tokens,
    // By code points, so that `?` is one character of any script.
    Array.from(name),
    (token) => token.kind === 'star',
    (token, character) => token.kind === 'one' && token.accepts(character),
  );
}

/** Greedy matching with one point of return, which is enough for one kind of wildcard. */
function glide<Part, Item>(
  parts: readonly Part[],
  items: readonly Item[],
  isWild: (part: Part) => boolean,
  accepts: (part: Part, item: Item) => boolean,
): boolean {
  let part = 0;
  let item = 0;
  let wildPart = -1;
  let wildItem = 0;
  while (item < items.length) {
    if (part < parts.length && isWild(parts[part]!)) {
      wildPart = part++;
      wildItem = item;
    } else if (part < parts.length && accepts(parts[part]!, items[item]!)) {
      part++;
      item++;
    } else if (wildPart >= 0) {
      part = wildPart + 1;
      item = ++wildItem;
    } else {
      return false;
    }
  }
  while (part < parts.length && isWild(parts[part]!)) part++;
  return part === parts.length;
}

function segmentsOf(text: string, option: string): Segment[] {
  const names = text.split('/');
  const segments = names
    .filter((name) => name !== '')
    .map((name): Segment => {
      if (name === '.' || name === '..') throw invalid(text, option, `"${name}" is never part of a path here`);
      return name === '**' ? '**' : tokensOf(name, text, option);
    });
  if (!text.startsWith('/') && segments[0] !== '**') segments.unshift('**');
  return segments;
}

function tokensOf(name: string, pattern: string, option: string): Token[] {
  const tokens: Token[] = [];
  const characters = Array.from(name);
  for (let at = 0; at < characters.length; at++) {
    const character = characters[at]!;
    if (character === '*') {
      tokens.push({ kind: 'star' });
    } else if (character === '?') {
      tokens.push({ kind: 'one', accepts: () => true });
    } else if (character === '[') {
      const end = characters.indexOf(']', at + 2);
      if (end < 0) throw invalid(pattern, option, 'a "[" is not closed');
      tokens.push({ kind: 'one', accepts: setOf(characters.slice(at + 1, end)) });
      at = end;
    } else {
      const wanted = character === '\\' ? characters[++at] : character;
      if (wanted === undefined) throw invalid(pattern, option, 'it ends with a "\\"');
      tokens.push({ kind: 'one', accepts: (given) => given === wanted });
    }
  }
  return tokens;
}

function setOf(characters: readonly string[]): (character: string) => boolean {
  const isNegated = characters[0] === '!' || characters[0] === '^';
  const members = isNegated ? characters.slice(1) : characters;
  const ranges: (readonly [string, string])[] = [];
  for (let at = 0; at < members.length; at++) {
    const isRange = members[at + 1] === '-' && at + 2 < members.length;
    ranges.push([members[at]!, members[isRange ? at + 2 : at]!]);
    if (isRange) at += 2;
  }
  return (character) => ranges.some(([first, last]) => first <= character && character <= last) !== isNegated;
}

/** `a{b,c{d,e}}` is `ab`, `acd`, `ace`. */
function expand(pattern: string, option: string): string[] {
  if (pattern.trim() === '') throw invalid(pattern, option, 'it is empty');
  const done: string[] = [];
  const open = [pattern];
  while (open.length > 0) {
    if (open.length + done.length > limits.globAlternatives)
      throw invalid(pattern, option, `its braces stand for more than ${limits.globAlternatives} patterns`);
    const text = open.pop()!;
    const brace = outermostBrace(text, option);
    if (brace === undefined) done.push(text);
    else {
      const { start, commas, end } = brace;
      const cuts = [start, ...commas, end];
      for (let index = cuts.length - 2; index >= 0; index--)
        open.push(text.slice(0, start) + text.slice(cuts[index]! + 1, cuts[index + 1]) + text.slice(end + 1));
    }
  }
  return done;
}

function outermostBrace(text: string, option: string): { start: number; commas: number[]; end: number } | undefined {
  let depth = 0;
  let start = -1;
  const commas: number[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '\\') at++;
    else if (character === '{') {
      if (depth++ === 0) start = at;
    } else if (character === '}') {
      if (depth === 0) throw invalid(text, option, 'a "}" closes nothing');
      if (--depth === 0) return { start, commas, end: at };
    } else if (character === ',' && depth === 1) commas.push(at);
  }
  if (depth > 0) throw invalid(text, option, 'a "{" is not closed');
  return undefined;
}

function invalid(pattern: string, option: string, reason: string): ViaductError {
  return new ViaductError('CONFIGURATION_INVALID', {
    cause: `${option}: "${pattern}" is not a pattern of paths: ${reason}.`,
    remedy:
      'Write a glob: /golden/**, **/*.{ram,mem}, /home/?*/disk.img; \\ before a character means the character itself.',
  });
}
