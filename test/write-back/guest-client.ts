/**
 * kill -9 of the proxy under a guest whose kernel has it mounted hard: `dd conv=fsync`, file trees and SQLite. The guest sees a
 * pause and no error; the database at the origin opens clean at every moment; in the end the origin has what the guest says.
 */
import assert from 'node:assert/strict';
import { copyFile, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { seededRandom, systemCode } from '../../src/base/mod.ts';
import { mountCommand } from '../kernel/microvm.ts';
import { run, sha256File } from '../support/programs.ts';
import { Bed } from './bed.ts';
import { delayOf, type GuestOptions, workUnderKills } from './killed-guest.ts';
import type { Round } from './round.ts';
import { Sampler } from './sampler.ts';

const port = 20_049;
const journalModes = ['DELETE', 'PERSIST', 'TRUNCATE', 'WAL'] as const;

/** Each worker says what it has been promised: `DD name sha256`, `SQL n`, and `TREE sha256` at the end; anything wrong is `ERROR`. */
function script(mode: string, seconds: number): string {
  // Without shared memory, which NFS has not.
  const pragmas = `PRAGMA locking_mode=${mode === 'WAL' ? 'EXCLUSIVE' : 'NORMAL'}; PRAGMA journal_mode=${mode}; PRAGMA synchronous=FULL;`;
  return `
export PATH=/bin:/usr/bin
${mountCommand(port, '/tmp/nfs')} || exit 91
cd /tmp/nfs
mkdir dd db tree
echo WORK
end=$(($(cut -d. -f1 /proc/uptime) + ${seconds}))
goes_on() { [ "$(cut -d. -f1 /proc/uptime)" -lt $end ]; }
dd_worker() {
  i=0
  while goes_on; do
    i=$((i + 1)); name=file-$((i % 5))
    dd if=/dev/urandom of=/tmp/own bs=64k count=$((1 + i % 13)) 2>/dev/null
    dd if=/tmp/own of=dd/$name bs=16k conv=fsync 2>/dev/null || echo "ERROR dd $name"
    echo "DD $name $(sha256sum </tmp/own | cut -c1-64)"
  done
}
tree_worker() {
  i=0
  while goes_on; do
    i=$((i + 1)); t=tree/t$i
    mkdir -p $t/a/b || echo "ERROR mkdir"
    for j in 1 2 3 4 5 6 7 8; do head -c $((j * 1500)) /dev/urandom >$t/a/f$j && ln -s f$j $t/a/l$j || echo "ERROR make"; done
    mv $t/a/f1 $t/a/b/moved; echo more >>$t/a/f2
    cp -a $t tree/c$i || echo "ERROR cp"
    tar cf tree/archive.tar -C tree t$i && mkdir tree/u$i && tar xf tree/archive.tar -C tree/u$i || echo "ERROR tar"
    diff -r tree/c$i tree/u$i/t$i >/dev/null || echo "ERROR diff"
    rm -r $t || echo "ERROR rm"
    [ $i -gt 3 ] && rm -r tree/c$((i - 3)) tree/u$((i - 3))
  done
  echo "ROUNDS $i"
}
sql_worker() {
  sqlite3 db/data.db "${pragmas} CREATE TABLE t(i INTEGER PRIMARY KEY, d BLOB); CREATE TABLE c(n INTEGER); INSERT INTO c VALUES(0);" >/dev/null || echo "ERROR create"
  {
    echo "${pragmas}"; i=0
    while goes_on; do
      i=$((i + 1))
      echo "BEGIN; INSERT INTO t VALUES($i, randomblob(3000)); UPDATE t SET d = randomblob(2500) WHERE i = $((1 + i / 2)); UPDATE c SET n = $i; COMMIT; SELECT 'SQL ' || n FROM c;"
      usleep 150000
    done
  } | sqlite3 -bail db/data.db 2>/tmp/sql-errors | grep SQL
  [ -s /tmp/sql-errors ] && echo "ERROR $(cat /tmp/sql-errors)"
}
dd_worker & tree_worker & sql_worker &
wait
cd /tmp/nfs/tree
echo "TREE $(find . -type f | sort | xargs sha256sum | sha256sum | cut -c1-64)"
cd /
umount /tmp/nfs || exit 92
`;
}

export async function guestClient(round: number, options: GuestOptions): Promise<Round> {
  const random = seededRandom(round);
  const mode = journalModes[round % journalModes.length]!;
  const after = delayOf(round);
  return await Bed.use({ name: 'client', limitMs: 250_000, after, listen: `127.0.0.1:${port}` }, async (bed) => {
    await bed.startOrigin();
    await bed.startProxy();
    const database = new Database(bed);
    const sampler = new Sampler(() => database.look(), random, 250);
    const { lines } = await workUnderKills(bed, {
      ...{ ...options, random, sampler, awayMs: 800 },
      machine: { memoryMiB: 192, programs: ['/usr/bin/sqlite3'], script: script(mode, options.seconds) },
      errors: /ERROR|I\/O error|Call Trace|BUG:|Stale|stale/,
    });
    await database.look();
    const transactions = lines.filter((line) => line.startsWith('SQL ')).length;
    assert.ok(transactions > 0, 'no transaction was committed');
    assert.equal(database.rows, transactions, 'transactions at the origin');
    await assertFiles(bed, lines);
    return { mode, after, transactions, looks: sampler.looks, rollbacks: database.hot };
  });
}

/** What the guest said last of each file, and of its trees, is what lies at the origin. */
async function assertFiles(bed: Bed, lines: readonly string[]): Promise<void> {
  const last = new Map<string, string>();
  for (const line of lines) {
    const match = /^DD (\S+) ([0-9a-f]{64})$/.exec(line);
    if (match !== null) last.set(match[1]!, match[2]!);
  }
  assert.ok(last.size > 0, 'no dd was promised');
  for (const [name, sum] of last) assert.equal(await sha256File(join(bed.exported, 'dd', name)), sum, name);
  const find = 'cd "$1" && find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c1-64';
  const tree = (await run('sh', ['-c', find, 'sh', join(bed.exported, 'tree')])).toString().trim();
  assert.ok(lines.includes(`TREE ${tree}`), `the trees at the origin differ: ${tree}`);
  const silly = (await readdir(bed.exported, { recursive: true })).filter((name) => name.includes('.nfs'));
  assert.deepEqual(silly, []);
  await bed.assertOnly(['db', 'dd', 'tree']);
}

/** The database at the origin: at each look it must open clean, and no transaction may vanish that was there before. */
class Database {
  rows = 0;
  /** Looks that found a journal to roll back, or a log to roll forward. */
  hot = 0;
  readonly #bed: Bed;

  constructor(bed: Bed) {
    this.#bed = bed;
  }

  async look(): Promise<void> {
    const copy = join(this.#bed.scratch, 'look');
    await rm(copy, { recursive: true, force: true });
    await mkdir(copy);
    const names = await this.#bed.atOneMoment(() => this.#copyTo(copy));
    if (!names.includes('data.db')) return;
    if (names.length > 1) this.hot++;
    const rows = countRows(join(copy, 'data.db'));
    assert.ok(rows >= this.rows, `the origin went back from transaction ${this.rows} to ${rows}`);
    this.rows = rows;
  }

  async #copyTo(copy: string): Promise<string[]> {
    const folder = join(this.#bed.exported, 'db');
    try {
      const names = (await readdir(folder)).filter((name) => /^data\.db(-journal|-wal)?$/.test(name));
      for (const name of names) await copyFile(join(folder, name), join(copy, name));
      return names;
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return [];
      throw error;
    }
  }
}

function countRows(path: string): number {
  const database = new DatabaseSync(path);
  try {
    const checked = database.prepare('PRAGMA integrity_check').all();
    assert.deepEqual(Object.values(checked[0] ?? {}), ['ok'], `the database at the origin: ${JSON.stringify(checked)}`);
    const tables = database.prepare("SELECT name FROM sqlite_master WHERE name IN ('t', 'c')").all();
    if (tables.length < 2) return 0;
    const query = 'SELECT (SELECT count(*) FROM t) AS rows, (SELECT max(i) FROM t) AS newest, n FROM c';
    const { rows = 0, newest, n } = database.prepare(query).get() ?? {};
    assert.deepEqual([newest ?? 0, n ?? 0], [rows, rows], 'a part of a transaction is at the origin');
    return Number(rows);
  } finally {
    database.close();
  }
}
