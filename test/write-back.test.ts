/**
 * Write-back that loses nothing, with real programs: kills, a link that goes away, an origin that restarts, a full disk, another
 * writer. As many rounds as there are variants; `npm run proof` runs fifty, and longer ones.
 */
import { test } from 'node:test';
import { enterPrivateNetwork, isRealRoot } from './support/namespace.ts';
import { crashAmidDrain, foreignChange } from './write-back/conflict.ts';
import { killedProxy } from './write-back/killed.ts';
import { linkCut } from './write-back/link-cut.ts';
import { logFull } from './write-back/log-full.ts';
import { originRestart } from './write-back/origin-restart.ts';
import { twoDisks } from './write-back/two-disks.ts';

enterPrivateNetwork(import.meta.filename);

const rounds = [1, 2, 3];
const skip = isRealRoot() ? false : 'needs root: nfs-ganesha and loop devices do';

test('a proxy killed amid writes of qemu-io brings every answered write to the origin', async (t) => {
  for (const round of rounds) t.diagnostic(JSON.stringify(await killedProxy(round, { lives: 2 })));
});

test('while the link is cut writes and cached reads go on, misses wait, and write-back resumes by itself', async (t) => {
  t.diagnostic(JSON.stringify(await linkCut(1, { cutsMs: [1500, 1500] })));
});

test('viaduct serve is killed and restarted amid write-back, and nothing is lost', async (t) => {
  t.diagnostic(JSON.stringify(await originRestart(1, { kind: 'viaduct serve', restarts: 2 })));
});

test('nfs-ganesha is killed and restarted amid write-back, and nothing is lost', { skip }, async (t) => {
  t.diagnostic(JSON.stringify(await originRestart(2, { kind: 'nfs-ganesha', restarts: 2 })));
});

test('a dirty log whose disk fills up slows writers, and nothing is lost or torn', { skip }, async (t) => {
  for (const round of [1, 2]) t.diagnostic(JSON.stringify(await logFull(round, { mebibytes: 16, writes: 4000 })));
});

test('two disks of one guest are a consistent prefix at the origin at every moment', async (t) => {
  t.diagnostic(JSON.stringify(await twoDisks(1, { lives: 3, lifeMs: 1000 })));
});

test('a foreign change is not overwritten: both versions are kept, and everybody is told', async (t) => {
  for (const round of rounds) t.diagnostic(JSON.stringify(await foreignChange(round)));
});

test('a crash amid write-back is no conflict', async (t) => {
  t.diagnostic(JSON.stringify(await crashAmidDrain(1, { lives: 3 })));
});
