/**
 * The daemon's page in a true browser, before a true daemon with sessions that read and write.
 *
 *   Chromium ──► page ──► API of `viaduct daemon` ──► sessions ──► a directory; `viaduct serve`
 *       └─ every request goes through the test: one to anywhere else fails it
 */
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Browser, chromium, type Locator, type Page } from 'playwright-core';
import { silentLog, systemClock, systemRandom } from '../src/base/mod.ts';
import type { SessionView } from '../src/daemon/mod.ts';
import { type RunningCommand, startCommand } from '../src/demo/mod.ts';
import { type NfsOrigin, openNfsOrigin } from '../src/origins/mod.ts';
import { callBy, ok } from '../src/testing/mod.ts';
import { credential, Stability } from '../src/vfs/mod.ts';
import { daemonConfiguration, startDaemon, type TestDaemon } from './support/daemon.ts';
import { scratchFolder, until } from './support/programs.ts';

const MiB = 1024 * 1024;
const chunk = 64 * 1024;
const waitMs = 20_000;
const me = credential(process.getuid?.() ?? 0, process.getgid?.() ?? 0);
const call = callBy(me);
const tools = { clock: systemClock, log: silentLog, random: systemRandom };
/** Nothing is written back until somebody says so. */
const waiting = { writes: 'write-back', 'write-back-after': '1h', 'dirty-age': '2h', 'dirty-limit': '64M' };

const scratch = await scratchFolder('page');
const folder = join(scratch.path, 'daemon');
const images = join(scratch.path, 'images');
const far = join(scratch.path, 'far');
const tokenFile = join(scratch.path, 'token');
const clients: NfsOrigin[] = [];
const views = new Map<string, SessionView>();
/** What must not happen, and what the browser says of answers that are no 200. */
const wrong: string[] = [];
const refused: string[] = [];
let configuration: string;
let server: RunningCommand;
let daemon: TestDaemon;
let browser: Browser;
let page: Page;
let url: string;
let token: string;

before(async () => {
  await Promise.all([images, far].map((path) => mkdir(path)));
  const files = ['disk', 'kept', 'back', 'thrown'].map((name) => join(images, `${name}.raw`));
  const content = Buffer.alloc(4 * MiB, 'image');
  await Promise.all([...files, join(far, 'disk.raw')].map((path) => writeFile(path, content)));
  const tcp = `127.0.0.1:${await freePort()}`;
  configuration = daemonConfiguration(folder, {
    more: `daemon:\n  api:\n    tcp: ${tcp}\n    token-file: ${tokenFile}\n`,
  });
  url = `http://${tcp}/`;
  const launched = chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
  const serve = ['serve', far, '--listen', '127.0.0.1:0', '--alone', '--log-level', 'warn'];
  [server, daemon, browser] = await Promise.all([
    startCommand(serve, { signal: new AbortController().signal, timeoutMs: 60_000 }),
    startDaemon(folder, configuration),
    launched,
  ]);
  token = (await readFile(tokenFile, 'utf8')).trim();
  await create('build', images, waiting);
  await create('far', farUrl(), { writes: 'write-through' });
  page = await openPage();
});

after(async () => {
  await browser?.close();
  for (const client of clients) await client.close();
  await daemon?.command.stop();
  await server?.stop();
  await scratch.remove();
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('it listens on no port');
  return address.port;
}

function farUrl(): string {
  return String(server.ready.url);
}

async function create(name: string, origin: string, settings: Record<string, unknown>): Promise<void> {
  views.set(name, await daemon.client.createSession({ name, origin, listen: '127.0.0.1:0', settings }));
}

async function openPage(options: Parameters<Browser['newContext']>[0] = {}): Promise<Page> {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(waitMs);
  const opened = await context.newPage();
  await context.route('**/*', async (route) => {
    const isOurs = route.request().url().startsWith(url);
    if (!isOurs) wrong.push(`asked for ${route.request().url()}`);
    await (isOurs ? route.continue() : route.abort()).catch(unlessAnswered);
  });
  opened.on('pageerror', (error) => wrong.push(String(error)));
  opened.on('console', (message) => {
    if (message.type() !== 'error' && message.type() !== 'warning') return;
    // The browser's own word on every answer that is none, or no 200: whether it may be is asked by the tests.
    if (message.text().startsWith('Failed to load resource')) refused.push(message.text());
    else wrong.push(message.text());
  });
  return opened;
}

/** A request may be answered by another route, or end with its page, while it is handed on. */
function unlessAnswered(error: unknown): void {
  if (!/already handled|has been closed/.test(String(error))) throw error;
}

async function clientOf(name: string): Promise<NfsOrigin> {
  const { place } = views.get(name)!;
  assert.ok(place);
  const address = { kind: 'nfs', host: place.host, path: '/', port: place.port, mountPort: place.port } as const;
  const client = await openNfsOrigin({ address, connections: 1, credential: me, ...tools });
  clients.push(client);
  return client;
}

async function read(client: NfsOrigin, bytes: number): Promise<void> {
  const { object } = ok(await client.lookup(call, { directory: client.root, name: 'disk.raw' }));
  for (let offset = 0; offset < bytes; offset += chunk) ok(await client.read(call, { object, offset, count: chunk }));
}

async function write(name: string, bytes: number, file = 'disk.raw'): Promise<void> {
  const client = await clientOf(name);
  const { object } = ok(await client.lookup(call, { directory: client.root, name: file }));
  const data = [Buffer.alloc(chunk, 'changed')];
  for (let offset = 0; offset < bytes; offset += chunk)
    ok(await client.write(call, { object, offset, count: chunk, stable: Stability.FILE_SYNC, data }));
}

/** How a file at the origin begins. */
async function begin(file: string): Promise<string> {
  return (await readFile(join(images, file))).subarray(0, 5).toString();
}

const row = (name: string): Locator =>
  page.getByRole('row').filter({ has: page.getByRole('button', { name, exact: true }) });
const theAnswer = (): Locator => page.getByRole('status');

const textOf = async (place: Locator): Promise<string> => (await place.textContent()) ?? '';

/** Waits until the text of a place fits. */
async function shows(place: Locator, pattern: RegExp, timeoutMs = waitMs): Promise<void> {
  let last: string | null = null;
  await until(
    `${pattern} at ${place}`,
    async () => pattern.test((last = await place.textContent({ timeout: 2000 }).catch(() => null)) ?? ''),
    timeoutMs,
  ).catch((error) => assert.fail(`${error.message}, but ${JSON.stringify(last)}`));
}

function nothingWrong(): void {
  assert.deepEqual(wrong, []);
}

test('a wrong token is told, the right one shows the sessions with state and address', async () => {
  await page.goto(`${url}#token=wrong`);
  await shows(theAnswer(), /wants its token/);
  assert.equal(page.url(), url, 'the token is in no history');
  const field = page.getByLabel('Token of this daemon’s API');
  await field.fill('wrong again');
  await page.keyboard.press('Enter');
  await shows(theAnswer(), /not the token/);
  assert.equal(await page.getByRole('table', { name: 'Sessions' }).isVisible(), false);
  await field.fill(token);
  await page.getByRole('button', { name: 'Show the sessions' }).click();
  await shows(row('build'), /running/);
  await shows(row('far'), new RegExp(`nfs://127\\.0\\.0\\.1/\\?nfsport=${views.get('far')!.place!.port}`));
  await shows(theAnswer(), /^Everything is at the origin\.$/);
  assert.ok(refused.splice(0).every((text) => text.includes('401')));
  nothingWrong();
});

test('hits, link and dirty bytes appear and change while data flows', async () => {
  assert.equal(await textOf(row('far').locator('.hits')), '–');
  const client = await clientOf('far');
  await read(client, 2 * MiB);
  await shows(row('far').locator('.hits'), /^\d+ %$/);
  const before = Number.parseInt(await textOf(row('far').locator('.hits')), 10);
  for (let times = 0; times < 4; times++) await read(client, 2 * MiB);
  await until('more hits', async () => Number.parseInt(await textOf(row('far').locator('.hits')), 10) > before);

  await write('build', MiB);
  await shows(row('build').locator('.dirty'), /^1\.0 MiB, \d/);
  await shows(theAnswer(), /^1\.0 MiB are not at the origin, the oldest for \d+ s\.$/);
  await write('build', 2 * MiB);
  await shows(row('build').locator('.dirty'), /^2\.0 MiB, \d/);
  nothingWrong();
});

test('plots draw what was measured, of all sessions and of one', async () => {
  // Pixels in the colour of each plot's first line.
  const drawn = (id: string, color: string): Promise<number> =>
    page.evaluate(
      ([id, color]) => {
        const probe = document.createElement('span');
        document.body.append(probe);
        probe.style.color = `var(${color})`;
        const wanted = getComputedStyle(probe).color.match(/\d+/g)!.map(Number);
        probe.remove();
        const canvas = document.querySelector<HTMLCanvasElement>(`#${id} canvas`)!;
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true })!;
        copy.drawImage(canvas, 0, 0);
        const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
        let count = 0;
        for (let at = 0; at < data.length; at += 4)
          if (data[at + 3]! > 200 && wanted.every((value, index) => Math.abs(value - data[at + index]!) < 30)) count++;
        return count;
      },
      [id, color] as const,
    );
  for (const [id, color] of [
    ['plot-hits', '--good'],
    ['plot-link', '--accent'],
    ['plot-dirty', '--bad'],
  ] as const)
    await until(`${id} has a line`, async () => (await drawn(id, color)) > 20);
  await page.getByRole('button', { name: 'build', exact: true }).click();
  assert.equal(await page.getByRole('heading', { name: 'Last five minutes: build' }).count(), 1);
  await until('the plot of one session', async () => (await drawn('plot-dirty', '--bad')) > 20);
  await shows(page.getByRole('table', { name: 'Settings of this session' }), /write-back-after1h/);
  await shows(page.getByRole('table', { name: 'Files that are not at the origin' }), /disk\.raw.*2\.0 MiB/);
  nothingWrong();
});

test('Write back brings everything to the origin, and the answer says so', async () => {
  await row('build').getByRole('button', { name: 'Write back' }).click();
  await shows(theAnswer(), /^Everything is at the origin\.$/);
  assert.equal(await begin('disk.raw'), 'chang');
  await shows(page.locator('#events'), /build: task ended: write-back: done/);
  await shows(row('build').locator('.dirty'), /^–$/);
  await page.getByRole('button', { name: 'build', exact: true }).click();
  assert.equal(await page.getByRole('heading', { name: 'Last five minutes: all sessions' }).count(), 1);
  nothingWrong();
});

test('sessions made elsewhere appear without a reload, and their names stay text', async () => {
  const name = '<b onclick="alert(1)">bold';
  await create('plain', images, { writes: 'read-only' });
  await row('plain').waitFor();
  // The API refuses such names; the page must not count on that.
  await assert.rejects(create(name, images, {}), { code: 'CONFIGURATION_INVALID' });
  await page.route(/\/v1\/sessions$/, async (route) => {
    const response = await route.fetch();
    const views: SessionView[] = await response.json();
    await route.fulfill({
      response,
      json: views.map((view) => (view.name === 'plain' ? { ...view, name, id: 's-html' } : view)),
    });
  });
  await row(name).waitFor();
  assert.equal(await page.locator('#sessions b').count(), 0);
  await page.unroute(/\/v1\/sessions$/);
  await row('plain').waitFor();
  nothingWrong();
});

test('Close asks first: leave, keep, write back, discard', async () => {
  const dialog = page.getByRole('dialog');
  const choices = async (): Promise<string[]> => await dialog.getByRole('button').allTextContents();
  const close = async (name: string): Promise<void> => {
    await row(name).getByRole('button', { name: 'Close …' }).click();
    await dialog.waitFor();
  };
  const keep = 'Close, keep the changes on this host';
  const isOpen = async (name: string) => (await daemon.client.sessions()).some((view) => view.name === name);
  for (const name of ['kept', 'back']) await create(name, images, waiting);
  await create('thrown', images, { writes: 'redirect', 'on-close': 'keep' });
  for (const name of ['kept', 'back', 'thrown']) {
    // Each has a file of its own: two that change one are in conflict.
    await write(name, chunk, `${name}.raw`);
    await shows(row(name).locator('.dirty'), /^64 KiB/);
  }

  await close('kept');
  assert.deepEqual(await choices(), ['Leave it open', 'Write back, then close', keep]);
  assert.match(await textOf(dialog), /Close kept\?\s+64 KiB are not at the origin/);
  await dialog.getByRole('button', { name: 'Leave it open' }).click();
  assert.equal(await isOpen('kept'), true);
  await close('kept');
  await dialog.getByRole('button', { name: keep }).click();
  await shows(row('kept').locator('.state'), /^closed$/);
  await shows(theAnswer(), /1 closed session keeps changes on this host\./);
  assert.equal(await begin('kept.raw'), 'image');
  await row('kept').getByRole('button', { name: 'Open again' }).click();
  await shows(row('kept').locator('.dirty'), /^64 KiB/);
  await close('kept');
  await dialog.getByRole('button', { name: 'Write back, then close' }).click();
  await row('kept').waitFor({ state: 'detached' });

  await close('thrown');
  assert.ok((await choices()).includes('Discard the changes and close'));
  await dialog.getByRole('button', { name: 'Discard the changes and close' }).click();
  await row('thrown').waitFor({ state: 'detached' });
  assert.equal(await begin('thrown.raw'), 'image');

  await close('plain');
  assert.deepEqual(await choices(), ['Leave it open', 'Close']);
  await dialog.getByRole('button', { name: 'Close', exact: true }).click();
  await row('plain').waitFor({ state: 'detached' });
  for (const name of ['kept', 'thrown', 'plain']) assert.equal(await isOpen(name), false);
  nothingWrong();
});

test('a session that cannot answer is no session that is done, and one that failed is opened again', async () => {
  const asFar = (change: object) => (entry: { readonly name: string }) =>
    entry.name === 'far' ? { ...entry, ...change } : entry;
  for (const [path, change] of [
    [/\/v1\/samples$/, { isAnswering: false }],
    [/\/v1\/sessions$/, { state: 'failed' }],
  ] as const)
    await page.route(path, async (route) => {
      const response = await route.fetch();
      const entries: { readonly name: string }[] = await response.json();
      await route.fulfill({ response, json: entries.map(asFar(change)) });
    });
  await shows(theAnswer(), /1 of \d sessions cannot say what it keeps\.$/);
  await shows(row('far').locator('.dirty'), /^unknown$/);
  await shows(row('far').locator('.hits'), /^–$/);
  const asked = page.waitForRequest((request) => request.url().endsWith('/reopen') && request.method() === 'POST');
  await row('far').getByRole('button', { name: 'Open again' }).click();
  await asked;
  // In truth it runs, and the daemon says so.
  await shows(page.locator('#events'), /far: .*running/);
  await page.unrouteAll({ behavior: 'wait' });
  await row('far').getByRole('button', { name: 'Write back' }).waitFor();
  assert.ok(refused.splice(0).every((text) => text.includes('409')));
  nothingWrong();
});

test('the keyboard alone reaches and leaves everything', async () => {
  await page.getByRole('button', { name: 'back', exact: true }).focus();
  const focused = () => page.evaluate(() => document.activeElement?.textContent);
  await page.keyboard.press('Enter');
  await shows(page.locator('#detail-title'), /^back, /);
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'Write back');
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'Close …');
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  assert.equal(await focused(), 'Leave it open', 'what does least has the focus');
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'hidden' });
  await until('the focus is back', async () => (await focused()) === 'Close …');
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'Write back, then close');
  await page.keyboard.press('Enter');
  await row('back').waitFor({ state: 'detached' });
  assert.equal(await begin('back.raw'), 'chang');
  // Of the one that was looked at while it ended, at most.
  assert.ok(refused.splice(0).every((text) => text.includes('404')));
  nothingWrong();
});

test('parts have roles and names', async () => {
  for (const name of ['Sessions', 'Last five minutes: all sessions', 'What happened'])
    assert.equal(await page.getByRole('region', { name, exact: true }).count(), 1, name);
  const columns = await page.getByRole('table', { name: 'Sessions' }).getByRole('columnheader').allTextContents();
  assert.equal(columns.length, 9);
  assert.ok(columns.every((text) => text.trim() !== ''));
  assert.equal(await page.getByRole('table', { name: 'Sessions' }).getByRole('rowheader').count(), 2);
  assert.equal(await page.getByRole('figure', { name: /^(Reads answered|Link|Not at the origin)/ }).count(), 3);
  assert.equal(await page.getByRole('heading', { level: 1, name: 'Viaduct' }).count(), 1);
  for (const button of await page.getByRole('button').all()) assert.notEqual((await textOf(button)).trim(), '');
});

test('a narrow window scrolls down alone, and texts stand out in light and dark colours', async () => {
  const narrow = await openPage({ viewport: { width: 400, height: 800 }, colorScheme: 'light' });
  await narrow.goto(`${url}#token=${token}`);
  await narrow.getByRole('button', { name: 'build', exact: true }).click();
  await narrow.getByRole('table', { name: 'Settings of this session' }).getByRole('row').nth(3).waitFor();
  const widths = await narrow.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(widths[0]! <= widths[1]!, `${widths}`);
  assert.deepEqual(await narrow.evaluate(faintTexts), []);
  await narrow.emulateMedia({ colorScheme: 'dark' });
  assert.deepEqual(await narrow.evaluate(faintTexts), []);
  await narrow.context().close();
  nothingWrong();
});

/** In the browser: texts whose contrast to what is behind them is below 4.5 (WCAG 2.2, 1.4.3). */
function faintTexts(): string[] {
  const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true })!;
  const light = (colors: string[]): number => {
    context.clearRect(0, 0, 1, 1);
    for (const color of colors) {
      context.fillStyle = color;
      context.fillRect(0, 0, 1, 1);
    }
    const part = (at: number): number => {
      const value = context.getImageData(0, 0, 1, 1).data[at]! / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    };
    return 0.2126 * part(0) + 0.7152 * part(1) + 0.0722 * part(2);
  };
  const found = new Set<string>();
  for (const element of document.body.querySelectorAll('*')) {
    const texts = [...element.childNodes].filter((node) => node.nodeType === 3 && node.textContent?.trim());
    if (texts.length === 0 || !element.checkVisibility() || element.getAttribute('aria-disabled') === 'true') continue;
    const behind: string[] = [];
    for (let above: Element | null = element; above !== null; above = above.parentElement)
      behind.unshift(getComputedStyle(above).backgroundColor);
    const [back, text] = [light(behind), light([...behind, getComputedStyle(element).color])];
    const contrast = (Math.max(back, text) + 0.05) / (Math.min(back, text) + 0.05);
    if (contrast < 4.5)
      found.add(`${element.tagName} ${element.className} ${element.textContent}: ${contrast.toFixed(1)}`);
  }
  return [...found];
}

test('while the daemon is away the page says so, and goes on by itself when it is back', async () => {
  await write('build', chunk);
  await shows(theAnswer(), /64 KiB are not at the origin/);
  const process = await textOf(page.locator('#daemon'));
  await daemon.command.stop();
  await shows(theAnswer(), /^The daemon does not answer\. This page goes on when it is back\.$/);
  refused.length = 0;
  daemon = await startDaemon(folder, configuration);
  await shows(theAnswer(), /64 KiB are not at the origin/);
  assert.notEqual(await textOf(page.locator('#daemon')), process);
  await shows(row('build'), /running/);
  await shows(page.locator('#events'), /the daemon was started again/);
  await row('build').getByRole('button', { name: 'Write back' }).click();
  await shows(theAnswer(), /^Everything is at the origin\.$/);
  nothingWrong();
});
