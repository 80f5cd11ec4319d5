import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { describeCommand, withChildren } from '../command-shape.ts';
import { createProgram } from '../program.ts';
import { manualPage, pageName } from './page.ts';

const program = describeCommand(createProgram());
const options = { version: '0.0.0', date: '2026-01-31', program };
const pages = [program, ...program.commands].map((shape) => ({ shape, page: manualPage(shape, options) }));
const mandoc = spawnSync('mandoc', ['-T', 'lint'], { input: '.TH A 1 2026-01-31\n' });

test('each command has a page with all its options, those of the commands below it, and its examples', () => {
  for (const { shape, page } of pages) {
    for (const { path, options: own } of shape.path.length === 1 ? [shape] : withChildren(shape))
      for (const name of own.flatMap(({ names }) => names))
        assert.ok(page.includes(name.replaceAll('-', '\\-')), `${path.join(' ')} ${name}`);
    if (shape !== program)
      assert.ok(page.includes('\n.SH EXAMPLES\n') || page.includes('\nExamples:\n'), pageName(shape));
    assert.match(page, /^\.SH EXIT STATUS$/m);
  }
});

test('a line of text is never taken for a request of roff', () => {
  const known = /^\.(TH|SH|PP|TP|B|BR|I|EX|EE|br|\\")( |$)/;
  for (const { page, shape } of pages)
    for (const line of page.split('\n').filter((text) => /^[.']/.test(text)))
      assert.match(line, known, pageName(shape));
});

test('mandoc finds nothing to warn of', {
  skip: mandoc.error === undefined ? false : 'there is no mandoc here',
}, () => {
  for (const { page, shape } of pages) {
    const { stdout } = spawnSync('mandoc', ['-T', 'lint', '-W', 'warning'], { input: page });
    assert.equal(stdout.toString(), '', pageName(shape));
  }
});
