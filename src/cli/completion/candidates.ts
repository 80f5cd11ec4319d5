/** What the three shells' scripts have in common: names of functions and words as shells take them. */
import type { CommandShape, ValueShape } from '../command-shape.ts';

/** `_viaduct_session_create`. */
export function functionName({ path }: Pick<CommandShape, 'path'>): string {
  return `_${path.join('_').replaceAll('-', '_')}`;
}

/** In single quotes, for sh, bash and zsh. */
export function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** One line, short enough for a menu. */
export function shortText(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  return line.length <= 100 ? line : `${line.slice(0, 99).replace(/\s+\S*$/, '')}…`;
}

/** Values that have to be asked for, by `viaduct completion --names`. */
export function askedFor({ kind, choices }: ValueShape): 'sessions' | 'policies' | undefined {
  if (choices.length > 0) return undefined;
  return kind === 'session' ? 'sessions' : kind === 'policy' ? 'policies' : undefined;
}
