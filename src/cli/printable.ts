/**
 * Text for a terminal: a file may have any name, and what a terminal takes for commands, for another line or for another direction of
 * writing is shown as an escape instead.
 */

const unprintable = /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu;
const known: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** One line. */
export function printable(text: string): string {
  return text.replaceAll(unprintable, escaped);
}

/** Further lines of what a command says are indented; those of a name are not. */
export function printableBlock(text: string): string {
  return text
    .split(/\n(?= {2})/)
    .map(printable)
    .join('\n');
}

function escaped(char: string): string {
  const hex = char.charCodeAt(0).toString(16);
  return known[char] ?? (hex.length <= 2 ? `\\x${hex.padStart(2, '0')}` : `\\u${hex}`);
}
