/** Writes `man/`: viaduct.1 and a page for each command, from the definitions of the commands. `tools/man.ts [DIRECTORY]` */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createProgram, describeCommand, manualPage, packageVersion, pageName } from '../src/cli/mod.ts';

/** Answers how many. */
export function writeManualPages(target: string): number {
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  const program = describeCommand(createProgram());
  const seconds = Number(process.env.SOURCE_DATE_EPOCH ?? Number.NaN);
  const date = (Number.isNaN(seconds) ? new Date() : new Date(seconds * 1000)).toISOString().slice(0, 10);
  const shapes = [program, ...program.commands];
  for (const shape of shapes) {
    const page = manualPage(shape, { version: packageVersion(), date, program });
    writeFileSync(join(target, `${pageName(shape)}.1`), page);
  }
  return shapes.length;
}

if (import.meta.main) {
  const target = process.argv[2] ?? join(import.meta.dirname, '..', 'man');
  process.stdout.write(`wrote ${writeManualPages(target)} manual pages into ${target}\n`);
}
