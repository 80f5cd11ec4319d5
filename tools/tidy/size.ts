/** Sizes of files: god files are where the pain sits. And every file says at its top what it is for. */
import { isTest, type Problem, type Tree } from './source.ts';

const warnLines = 400;
const failLines = 500;
/** Tests are lists of cases; they may be longer. */
const failTestLines = 800;

export function checkSizes(tree: Tree): Problem[] {
  const problems: Problem[] = [];
  for (const file of tree.files.values()) {
    const limit = isTest(file.path) ? failTestLines : failLines;
    if (file.lines > limit) {
      problems.push({
        path: file.path,
        line: limit,
        message: `${file.lines} lines; at most ${limit}: split it by noun`,
        severity: 'error',
      });
    } else if (file.lines > warnLines && !isTest(file.path)) {
      problems.push({
        path: file.path,
        line: warnLines,
        message: `${file.lines} lines; aim at ${warnLines}`,
        severity: 'warning',
      });
    }
    if (
      file.path.startsWith('src/') &&
      !isTest(file.path) &&
      !/^\s*(?:#!.*\n)?\s*(?:import[^;]*;\s*)*(?:\/\*\*|\/\/)/.test(file.text)
    ) {
      problems.push({
        path: file.path,
        line: 1,
        message: 'no comment at the top that says what the file is for',
        severity: 'error',
      });
    }
  }
  return problems;
}
