/** What follows from a setting, in one sentence: for `viaduct policy show` and `explain`. */
import { formatSize, unlimited, writeDuration } from '../base/mod.ts';
import type { SettledValues } from './defaults.ts';
import { keepsLog, type SettingKey, type ValueOf } from './settings.ts';
import { writeSetting } from './write.ts';

type Tellers = { readonly [Key in SettingKey]: (value: ValueOf[Key], all: SettledValues) => string };

const tellers: Tellers = {
  writes: (value) =>
    ({
      'read-only': 'Every change is refused, as by a file system that is mounted read-only.',
      'write-through': 'A change is answered when the origin has answered it.',
      'write-back': 'A change is answered when this host’s log has it; the origin gets it later, in order.',
      redirect: 'Changes stay in this host’s log; the origin gets none before `viaduct redirect commit`.',
    })[value],
  commit: (value) =>
    ({
      local: 'A client’s flush is answered when this host’s disk has the data.',
      next: 'A client’s flush is answered when what the origin’s address names calls the data stable.',
      origin: 'A client’s flush is answered when the origin itself has the data, past every proxy.',
    })[value],
  'write-back-after': (value) =>
    `A change waits ${writeDuration(value)}; what is overwritten in that time never crosses the link.`,
  'write-back-rate': (value, { writes }) => {
    const who = writes === 'redirect' ? 'A commit of the changes' : 'Write-back';
    return value === unlimited
      ? `${who} takes all of the link that readers leave.`
      : `${who} takes at most ${formatSize(value)} a second of the link.`;
  },
  'write-back-window': (value, { writes }) =>
    `${writes === 'redirect' ? 'A commit of the changes' : 'Write-back'} has at most ${formatSize(value)} under way.`,
  'dirty-limit': (value, { writes }) =>
    writes === 'redirect'
      ? `When changes take ${formatSize(value)} on this host, further ones fail: no space left on device.`
      : `When ${formatSize(value)} of changes wait, writers are slowed to the speed of the link.`,
  'dirty-age': (value) => `A change that no client asked to be stable is made stable after ${writeDuration(value)}.`,
  outage: ({ misses, failAfterMs }) =>
    ({
      hold: 'While the origin is away, what is not known here waits for it.',
      fail: `While the origin is away, what is not known here fails with an I/O error after ${writeDuration(failAfterMs)}.`,
      stale: 'While the origin is away, attributes and names are answered as last known; data that is not here waits.',
    })[misses],
  'on-close': (value) =>
    ({
      'write-back': 'Closing the session first brings all changes to the origin.',
      keep: 'Closing the session leaves its changes in the log on this host.',
      discard: 'Closing the session forgets its changes.',
    })[value],
  'cache-quota': (value) =>
    value === unlimited
      ? 'The session may fill the cache that it shares.'
      : `Beyond ${formatSize(value)} in the shared cache, the session’s own oldest data make room.`,
  'sole-writer': (value) =>
    value
      ? 'Its own writes never make the cache doubtful; changes that others make at the origin may stay unseen.'
      : 'After its own writes the cache is checked for changes that others made.',
  purpose: (value) => `Working sets are learned and used under the name ${value}.`,
  'fetch-rate': (value) =>
    value === unlimited
      ? 'Fetching ahead of need takes all of the link that readers leave.'
      : `Fetching ahead of need takes at most ${formatSize(value)} a second of the link.`,
  'read-ahead': (value) =>
    value === 0 ? 'Nothing is read ahead.' : `Reading in order has up to ${formatSize(value)} under way.`,
  fetch: (value) =>
    ({
      auto: 'Files that were packed for it are fetched ahead of need; others when they are read.',
      'working-set': 'What earlier runs touched is fetched as soon as the file is used.',
      'on-demand': 'Only what is asked for is fetched.',
      whole: 'What earlier runs touched is fetched as soon as the file is used, then the rest of it.',
    })[value],
  consistency: (value) =>
    ({
      fixed:
        'What was read once is believed for good; changes at the origin stay unseen until `viaduct session invalidate`.',
      'close-to-open':
        'Changes made elsewhere are seen when a file is opened, and at the latest when attributes time out.',
      strict: 'Each use asks the origin whether something changed: one more round trip for each.',
    })[value],
  'attribute-timeout': (value) =>
    `Attributes are believed for ${writeDuration(value.fileMinimumMs)} to ${writeDuration(value.fileMaximumMs)}, those of directories for ${writeDuration(value.directoryMinimumMs)} to ${writeDuration(value.directoryMaximumMs)}: the shorter, the more recently something changed.`,
  pin: (value) =>
    value
      ? 'Cached data stays, as far as the cache’s share for pinned data goes.'
      : 'Cached data makes room when it is the oldest.',
  'cache-priority': (value) =>
    ({
      low: 'Its data is the first to leave a cache that needs room.',
      normal: 'Its data leaves a shared cache as it gets old.',
      high: 'Its data leaves a shared cache after that of others.',
    })[value],
};

/** `all`: what holds beside it. */
export function consequence<Key extends SettingKey>(key: Key, value: ValueOf[Key], all: SettledValues): string {
  return tellers[key](value, all);
}

/** A policy in one line: `write-back, local commit; working-set; close-to-open`. */
export function summary(values: SettledValues): string {
  const writes = keepsLog(values.writes) ? `${values.writes}, on-close ${values['on-close']}` : values.writes;
  return [writes, `fetch ${writeSetting('fetch', values.fetch)}`, values.consistency].join('; ');
}
