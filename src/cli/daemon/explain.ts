/**
 * Which session a path would belong to, so that its policy can be explained.
 *
 *     store:/golden/disk.raw     the origin of that name      nfs://host/images/x   the origin at whose URL it lies, if one does
 *     /mnt/vm/disk.raw           a path below a mount of a session, else a directory of this host
 *
 * The root is that of the session of viaduct.yaml which holds the path (the innermost), else of the origin that has a name, else its folder.
 */
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemClock } from '../../base/mod.ts';
import { type Configuration, type OriginReference, resolveOrigin } from '../../config/mod.ts';
import { parseOrigin } from '../../origins/mod.ts';
import { type Explanation, explainPath, type OriginPlace, type Question } from '../../policy/mod.ts';

/** A stat on a dead mount never ends. */
const lookMs = 2_000;

/** `mounted`: what a local path is at the origin, if it lies below a mount. Rejects with ORIGIN_INVALID or CONFIGURATION_INVALID. */
export async function explainIn(
  configuration: Configuration,
  path: string,
  size: number | undefined,
  mounted?: string | undefined,
): Promise<Explanation> {
  const { origins, sessions } = configuration;
  const asked = named(resolveOrigin(mounted ?? path, origins, process.cwd()), configuration);
  const subject = placeOf(asked.origin, asked.name);
  const inside = sessions
    .map((session) => ({ session, at: named(resolveOrigin(session.origin, origins, '/'), configuration) }))
    .filter(
      ({ at }) =>
        serverOf(at.origin) === serverOf(asked.origin) && isBelow(subject.path, placeOf(at.origin, at.name).path),
    )
    .sort((a, b) => b.at.origin.length - a.at.origin.length)[0];
  const own = origins.find(({ name }) => name === asked.name);
  const rootPath =
    inside !== undefined
      ? placeOf(inside.at.origin, inside.at.name).path
      : own !== undefined
        ? placeOf(own.url, own.name).path
        : dirname(subject.path);
  const question: Question = {
    root: { ...subject, path: rootPath },
    path: subject.path,
    sizeBytes: size ?? (await sizeOf(path)),
    request: inside === undefined ? {} : inside.session,
  };
  return explainPath(question, configuration);
}

/** One that lies at an origin of the configuration has its name, though it was written as a URL. */
function named(reference: OriginReference, { origins }: Configuration): OriginReference {
  if (reference.name !== undefined) return reference;
  const path = placeOf(reference.origin, undefined).path;
  const found = origins
    .filter(({ url }) => serverOf(url) === serverOf(reference.origin) && isBelow(path, placeOf(url, undefined).path))
    .sort((a, b) => b.url.length - a.url.length)[0];
  return found === undefined ? reference : { ...reference, name: found.name };
}

/** Undefined: this host's files. */
function serverOf(origin: string): string | undefined {
  const parsed = parseOrigin(origin);
  return parsed.kind === 'nfs' ? `${parsed.host}:${parsed.port ?? 2049}` : undefined;
}

/** `origin`: an address; `name`: what viaduct.yaml calls it. */
function placeOf(origin: string, name: string | undefined): OriginPlace {
  const { kind, path } = parseOrigin(origin);
  // Bytes of names in URLs travel as one character each.
  const text = kind === 'nfs' ? Buffer.from(path, 'latin1').toString('utf8') : path;
  return { ...(name === undefined ? {} : { origin: name }), path: text === '' ? '/' : text };
}

function isBelow(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}

/** Of a file of this host; undefined: it is none, or nobody knows. */
async function sizeOf(path: string): Promise<number | undefined> {
  if (!/^\.{0,2}\//.test(path)) return undefined;
  const late = Promise.withResolvers<undefined>();
  const timer = systemClock.after(lookMs, () => late.resolve(undefined));
  const looked = stat(path).then(
    (found) => (found.isFile() ? found.size : undefined),
    () => undefined,
  );
  return await Promise.race([looked, late.promise]).finally(() => timer.cancel());
}
