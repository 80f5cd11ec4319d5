/**
 * The policies that are built in. Each says in one sentence what it is for, and of each setting why; what a model leaves out follows
 * from the rest, or is as for everybody (src/policy/defaults.ts).
 */
import type { ModelName, SettingKey, SettingsDocument } from './settings.ts';

export interface Model {
  readonly name: ModelName;
  readonly purpose: string;
  readonly settings: SettingsDocument;
  /** One for each of its settings. */
  readonly reasons: Readonly<Partial<Record<SettingKey, string>>>;
}

type Entry = readonly [value: unknown, reason: string];

const golden = model('golden', 'Images that many sessions read and nobody changes.', {
  writes: ['read-only', 'One changed byte would reach every machine that was cloned from the image.'],
  consistency: ['fixed', 'What was published stays as it is, so nothing has to be asked twice.'],
  fetch: ['working-set', 'What earlier boots read is what the next boot reads.'],
  'cache-priority': ['high', 'One cached block serves every session.'],
});

const vmDisk = model('vm-disk', 'The disk of a virtual machine that runs on this host.', {
  writes: [
    'write-back',
    'A guest’s flush must not wait for a distant origin; this host’s disk keeps what was written.',
  ],
  'sole-writer': [true, 'A disk has one machine.'],
  fetch: ['working-set', 'What earlier runs of the guest read is what it reads again.'],
  'attribute-timeout': [
    { file: ['1m', '1h'], directory: ['1m', '1h'] },
    'Nobody else changes the disk, so asking more often finds nothing.',
  ],
  outage: ['hold', 'A guest waits for a slow disk, and takes an I/O error for a broken one.'],
});

const vmMemory = model('vm-memory', 'The saved memory of a virtual machine, for suspend and resume.', {
  writes: ['write-back', 'A suspend is done when this host’s disk has the memory.'],
  'write-back-after': ['30s', 'A machine that is resumed soon needs none of it at the origin.'],
  'sole-writer': [true, 'Only the machine that is suspended writes it.'],
  purpose: ['resume', 'What a resume reads differs from what a boot reads.'],
  'read-ahead': ['64M', 'A resume reads the file from end to end.'],
  fetch: ['whole', 'A resumed machine soon touches most of its memory.'],
  'attribute-timeout': [
    { file: ['1m', '1h'], directory: ['1m', '1h'] },
    'Nobody else changes it, so asking more often finds nothing.',
  ],
  'cache-priority': ['low', 'It is read once for each resume, and must not push out disks that are read all day.'],
});

const scratch = model('scratch', 'Work on top of an image, thrown away when the session ends.', {
  writes: ['redirect', 'What is written stays on this host; the image is never changed.'],
  'on-close': ['discard', 'Nobody needs it after the session.'],
  'cache-priority': ['low', 'Work that is thrown away must not push out what others keep.'],
});

const home = model('home', 'Files that people share and change from several hosts.', {
  writes: ['write-through', 'Who opens a file elsewhere sees what was saved here.'],
  consistency: [
    'close-to-open',
    'Whoever opens a file sees what was there when it was last closed, as with any NFS client.',
  ],
  fetch: ['auto', 'Only images that were packed for it are fetched ahead; other files when they are read.'],
  'attribute-timeout': [
    { file: ['3s', '60s'], directory: ['30s', '60s'] },
    'As kernel clients do: changes made elsewhere are seen soon, and a listing does not ask of every file.',
  ],
});

export const models: Readonly<Record<ModelName, Model>> = {
  golden,
  'vm-disk': vmDisk,
  'vm-memory': vmMemory,
  scratch,
  home,
};

function model(name: ModelName, purpose: string, entries: Readonly<Partial<Record<SettingKey, Entry>>>): Model {
  const pairs = Object.entries(entries) as [SettingKey, Entry][];
  return {
    name,
    purpose,
    settings: Object.fromEntries(pairs.map(([key, [value]]) => [key, value])),
    reasons: Object.fromEntries(pairs.map(([key, [, reason]]) => [key, reason])),
  };
}
