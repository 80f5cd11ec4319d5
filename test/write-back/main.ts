/**
 * One round of one case as a program, in a private network: `main.ts CASE ROUND`. Prints the figures as JSON; exits with 1 and the
 * reason on the standard error output. What it started ends with it: its process namespace ends too.
 */
import { enterPrivateNetwork } from '../support/namespace.ts';
import { cases, microvmKernel } from './cases.ts';

/** No round takes as long. */
const limitMs = 300_000;

const [name = '', round = ''] = process.argv.slice(2);
if (!Object.hasOwn(cases, name) || !/^\d+$/.test(round)) {
  process.stderr.write(`usage: main.ts ${Object.keys(cases).join('|')} ROUND\n`);
  process.exit(2);
}
// Before the network is gone: the kernel may have to be fetched.
microvmKernel();
enterPrivateNetwork(import.meta.filename);
setTimeout(() => {
  process.stderr.write(`not over after ${limitMs / 1000} s\n`);
  process.exit(1);
}, limitMs).unref();
try {
  const figures = await cases[name as keyof typeof cases].prove(Number(round));
  process.stdout.write(`${JSON.stringify(figures)}\n`);
  process.exit(0);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exit(1);
}
