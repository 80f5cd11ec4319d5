/**
 * What viaduct.yaml may hold. The same schemas check a file, describe the keys to editors (`viaduct config schema`) and make the table of
 * docs/configuration.md.
 *
 *     daemon      the process itself          policies    what applications need, by name
 *     caches      clean caches on disks       rules       which policy holds for which files
 *     origins     where images are            sessions    what is opened when the daemon starts
 */
import { isIP } from 'node:net';
import { z } from 'zod';
import { limits, ViaductError } from '../base/mod.ts';
import { parseOrigin } from '../origins/mod.ts';
import { choiceValue, policyDocumentSchema, settingsSchema, sizeValue, switchValue } from '../policy/mod.ts';
import { parseListen } from '../sessions/mod.ts';
import { Network } from './network.ts';

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
export const squashes = ['none', 'root', 'all'] as const;

// Digits alone would be numbers to YAML, and objects would not keep their order.
const namePattern = /^(?![0-9]+$)[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
export const nameRemedy =
  'Use up to 63 letters, digits, ".", "_" and "-"; a letter or digit first, and not digits alone.';

/** A name that a person gives. Also a folder's name, a label of metrics and an argument of commands: no spaces, no slashes. */
const name = z
  .string({ error: 'this is not a name' })
  .regex(namePattern, { error: ({ input }) => `${JSON.stringify(input)} is not a name` });

function named<Value extends z.ZodType>(value: Value): z.ZodRecord<typeof name, Value> {
  return z.record(name, value, { error: 'this is not a list of NAME: ...' });
}

const text = (what: string): z.ZodString => z.string({ error: `this is not ${what}` }).min(1, 'this is empty');

const path = text('a path').refine((value) => !value.includes('\0'), 'a path holds no NUL');

/** ADDR or ADDR:PORT. */
const listen = checked(text('an address, such as 127.0.0.2 or 127.0.0.1:20049'), (value) => {
  parseListen(value);
}).meta({ examples: ['127.0.0.2', '127.0.0.1:20049'] });

const tcp = checked(text('ADDR:PORT, such as 127.0.0.1:7446'), (value) => {
  const { port } = parseListen(value);
  if (port !== undefined && port > 0) return;
  throw new ViaductError('ADDRESS_INVALID', {
    cause: `${value} has no port`,
    remedy: 'Write ADDR:PORT, for example 127.0.0.1:7446.',
  });
}).meta({ examples: ['127.0.0.1:7446'] });

const network = checked(text('a network, such as 192.0.2.0/24'), (value) => {
  Network.parse(value);
}).meta({ examples: ['192.0.2.0/24', '2001:db8::/32'] });

const pool = checked(text('a network of this host, such as 127.1.0.0/16'), (value) => {
  const parsed = Network.parse(value);
  if (isIP(parsed.address) === 4 && parsed.address.startsWith('127.') && parsed.bits >= 8 && parsed.bits <= 30) return;
  throw new ViaductError('ADDRESS_INVALID', {
    cause: `${value} is not a part of 127.0.0.0/8 with at least four addresses`,
    remedy: 'Write for example 127.1.0.0/16: sessions that other hosts may reach name their address themselves.',
  });
}).meta({ examples: ['127.1.0.0/16'] });

const url = checked(text('an origin, such as nfs://store.example/images or /srv/images'), (value) => {
  const origin = parseOrigin(value);
  if (origin.kind === 'nfs' || /^(\/|\.\.?(\/|$))/.test(value)) return;
  throw new ViaductError('ORIGIN_INVALID', {
    cause: `${JSON.stringify(value)} is neither nfs://HOST/PATH nor the path of a directory`,
    remedy: 'Write nfs://store.example/images, /srv/images, or ./images (beside this file).',
  });
}).meta({ examples: ['nfs://store.example/images', '/srv/images'] });

const connections = z
  .number({ error: 'this is not a number' })
  .int('this is not a whole number')
  .min(1, 'this is less than 1')
  .max(limits.originConnections, `this is more than ${limits.originConnections}`);

const daemonSchema = z.strictObject({
  'listen-pool': pool
    .optional()
    .describe('Loopback addresses, of which each session that names no address gets one. Default: 127.1.0.0/16.'),
  api: z
    .strictObject({
      tcp: tcp
        .optional()
        .describe('Where the API listens on TCP too, besides its Unix socket; needs `token-file`. Default: nowhere.'),
      'token-file': path
        .optional()
        .describe('The file with the token that clients on TCP must show; only its owner may read it.'),
    })
    .nullish()
    .describe('How programs reach the daemon.'),
  workers: z
    .number({ error: 'this is not a number' })
    .int('this is not a whole number')
    .min(1, 'this is less than 1')
    .max(limits.configuredWorkers, `this is more than ${limits.configuredWorkers}`)
    .optional()
    .describe('Threads that move data. Default: one a core.'),
  'state-directory': path
    .optional()
    .describe(
      'Where sessions, their logs and handles are remembered. Default: /var/lib/viaduct, or ~/.local/state/viaduct.',
    ),
  'log-level': choiceValue(logLevels).optional().describe('How much is logged on stderr. Default: info.'),
});

const cacheSchema = z.strictObject({
  directory: path.describe('An empty directory, or one that is a cache of Viaduct; on a disk of this host.'),
  size: sizeValue({ minimum: limits.cacheBytes, maximum: limits.fileBytes })
    .optional()
    .describe('How large it may grow. Default: 10G.'),
});

const fullOriginSchema = z.strictObject({
  url: url.describe('nfs://HOST[:PORT]/PATH, or a directory.'),
  connections: connections.optional().describe('TCP connections to an NFS server. Default: 8.'),
  description: text('a text').optional().describe('For people.'),
});

const originSchema = z.union([url, fullOriginSchema]);

const ruleSchema = z.strictObject({
  name: text('a text').max(100, 'this is longer than 100 characters').optional().describe('For people.'),
  path: z
    .union([text('a glob'), z.array(text('a glob')).min(1, 'this list is empty')])
    .optional()
    .describe('Files whose path at the origin matches this glob, or one of these: `**/*.{ram,mem}`.'),
  size: text('a comparison of sizes, such as ">= 64M"').optional().describe('Files of this size: `>= 64M`, `< 1M`.'),
  origin: name.optional().describe('Files of this origin only, also where a session names it by its URL.'),
  policy: name.describe('The policy, or model, that holds for them.'),
});

const sessionSchema = z.strictObject({
  origin: text('an origin').describe(
    'The name of an origin, with a path below it (store:/golden), an nfs:// URL, or a directory.',
  ),
  kind: choiceValue(['proxy', 'serve'])
    .optional()
    .describe('proxy: uses images that are elsewhere; serve: gives images of this host to others. Default: proxy.'),
  listen: listen
    .optional()
    .describe('ADDR (NFS on 2049 and a portmapper on 111) or ADDR:PORT. Default: the next of `daemon.listen-pool`.'),
  policy: name.optional().describe('The policy, or model. Default: as `rules` say of its path, else `default-policy`.'),
  settings: settingsSchema
    .optional()
    .describe('What this session does otherwise than its policy; keys as in a policy.'),
  cache: name.nullish().describe('The name of a cache; null: none. Default: the first.'),
  allow: z
    .array(network, { error: 'this is not a list of networks' })
    .optional()
    .describe('Networks whose clients may connect; this host always may.'),
  squash: choiceValue(squashes).optional().describe('Who becomes nobody. Default: none.'),
  connections: connections.optional().describe('TCP connections to the origin. Default: as the origin says.'),
  'take-over': switchValue()
    .optional()
    .describe('Take the write lease of the tree from whoever holds it, when the session opens. Default: false.'),
});

export const configurationSchema = z.strictObject({
  daemon: daemonSchema.nullish().describe('The process itself.'),
  caches: named(cacheSchema).nullish().describe('Caches of what was read, by name; sessions may share one.'),
  origins: named(originSchema).nullish().describe('Where images are, by name: a URL alone, or with more about it.'),
  policies: named(policyDocumentSchema)
    .nullish()
    .describe('What applications need, by name; each starts from a built-in model.'),
  rules: z
    .array(ruleSchema, { error: 'this is not a list of rules' })
    .nullish()
    .describe('Which policy holds for which files; the first that matches wins.'),
  'default-policy': name.optional().describe('The policy where no rule matches. Default: home.'),
  sessions: named(sessionSchema).nullish().describe('Sessions that are open while the daemon runs, by name.'),
});

/** As it is checked, by the keys of the file: sizes are bytes, times milliseconds. */
export type ConfigurationFile = z.output<typeof configurationSchema>;

/** The check of what is written by a function that throws ViaductErrors. */
function checked(schema: z.ZodString, check: (value: string) => void): z.ZodString {
  return schema.check((context) => {
    try {
      check(context.value);
    } catch (error) {
      if (!(error instanceof ViaductError)) throw error;
      const { remedy } = error;
      // The key is told anyway; there is no option here.
      const message = error.message.replace(/^--\S+ \S*: /, '');
      context.issues.push({ code: 'custom', input: context.value, message, params: { remedy } });
    }
  });
}
