/** Forbidden calls, each with what to use instead and where it is allowed after all. */
import { isTest, lineAt, type Problem, type Tree } from './source.ts';

interface Rule {
  readonly pattern: RegExp;
  /** What is wrong and what to use. */
  readonly message: string;
  /** Paths that may. */
  readonly allowed: RegExp;
  /** Whether the text of strings and comments counts too (`@ts-ignore` lives in a comment). */
  readonly view?: 'code' | 'text';
}

/** Programs for people: they meet the real clock and the real terminal. */
const programs = 'src/(cli|demo|testing)/|tools/|bench/|test/';
const hot = 'src/(rpc|cache|layers|nfs3)/';

const rules: readonly Rule[] = [
  {
    pattern: /\b(?:Date\.now|performance\.now)\s*\(|\bnew Date\(\s*\)/g,
    message: 'reads the time: take a Clock as an argument (src/base/clock.ts)',
    allowed: new RegExp(`^(src/base/clock\\.ts|${programs})`),
  },
  {
    pattern: /(?<![.\w])(?:setTimeout|setInterval)\s*\(/g,
    message: 'sets a timer: use clock.after of a Clock argument (src/base/clock.ts)',
    allowed: new RegExp(`^(src/base/clock\\.ts|${programs})`),
  },
  {
    pattern: /\bMath\.random\s*\(|\brandomBytes\s*\(|\brandomUUID\s*\(/g,
    message: 'makes randomness: take a Random as an argument (src/base/random.ts)',
    allowed: new RegExp(`^(src/base/random\\.ts|${programs})`),
  },
  {
    pattern: /\bconsole\.\w+\s*\(/g,
    message: 'writes to the console: use the Log argument; commands print through src/cli/output.ts',
    allowed: /^(src\/(cli|demo)\/|tools\/|bench\/|test\/)/,
  },
  {
    pattern: /\bprocess\.exit\s*\(/g,
    message: 'ends the process: return or throw; only src/cli and programs of child processes end',
    allowed: /^(src\/cli\/|tools\/|bench\/|test\/|src\/testing\/)|\/child\.ts$|\.worker\.ts$/,
  },
  {
    pattern: /\bas\s+any\b|<any>|\bas unknown as\b/g,
    message: 'switches the types off: narrow the value, or type its source',
    allowed: /^$/,
  },
  {
    pattern: /@ts-(?:ignore|nocheck|expect-error)/g,
    message: 'switches the type checker off: fix the type',
    allowed: /^tools\/tidy\//,
    view: 'text',
  },
  {
    pattern: /\bmkdir(?:Sync)?\([^;\n]*recursive: true/g,
    message: 'turns for ever below /proc: use makeDirectory (src/native/make-directory.ts)',
    allowed: new RegExp(`^(${programs})`),
  },
  {
    pattern: /\bBigInt\s*\(/g,
    message: 'makes a BigInt on a hot path: offsets and sizes are numbers; fileids come from XdrReader',
    allowed: new RegExp(`^(?!${hot})`),
  },
  {
    pattern: /\bstructuredClone\s*\(|\bnew Proxy\s*\(/g,
    message: 'is slow and hides what happens: write the copy or the forwarding out',
    allowed: /^(tools|test|bench)\//,
  },
];

export function checkCalls(tree: Tree): Problem[] {
  const problems: Problem[] = [];
  for (const file of tree.files.values()) {
    for (const rule of rules) {
      if (isTest(file.path) || rule.allowed.test(file.path)) continue;
      for (const match of file[rule.view ?? 'code'].matchAll(rule.pattern)) {
        const line = lineAt(file.text, match.index);
        // A reason on the line or the line above makes an exception: `// tidy: why`.
        if (
          /\/\/ tidy: \S/.test(
            file.text
              .split('\n')
              .slice(Math.max(0, line - 2), line)
              .join('\n'),
          )
        )
          continue;
        problems.push({ path: file.path, line, message: `${match[0].trim()} ${rule.message}`, severity: 'error' });
      }
    }
  }
  return problems;
}
