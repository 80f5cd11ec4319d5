/**
 * Settings that cannot both be meant. None of them is resolved silently: an error names both and whence each came. What nobody said
 * (a default) contradicts nothing, but for times that have an order.
 */
import { ViaductError, writeDuration } from '../base/mod.ts';
import { keepsLog, type SettingKey, type ValueOf } from './settings.ts';
import { writeSetting } from './write.ts';

/** A value and whence it came: `model vm-disk`, `policy build`, `this session`, `default`. */
export interface Settled<Value> {
  readonly value: Value;
  readonly from: string;
}

export type SettledSettings = { readonly [Key in SettingKey]?: Settled<ValueOf[Key]> };

export interface Contradiction {
  readonly keys: readonly [SettingKey, SettingKey];
  readonly cause: string;
  readonly remedy: string;
}

type Finding = readonly [key: SettingKey, other: SettingKey, reason: string, remedy: string];

export const byDefault = 'default';

/** All of them, in a fixed order. */
export function findContradictions(settled: SettledSettings): Contradiction[] {
  return [
    ...ofWrites(settled),
    ...ofClosing(settled),
    ...ofTimes(settled),
    ...ofBelief(settled),
    ...ofRoom(settled),
  ].map(([key, other, reason, remedy]) => ({
    keys: [key, other],
    cause: `${told(settled, key)} contradicts ${told(settled, other)}: ${reason}.`,
    remedy,
  }));
}

/** Throws CONFIGURATION_INVALID with all of them; `subject`: `policy build`. */
export function refuseContradictions(settled: SettledSettings, subject: string): void {
  const found = findContradictions(settled);
  if (found.length === 0) return;
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `${subject}: ${found.map(({ cause }) => cause).join(' ')}`,
    remedy: [...new Set(found.map(({ remedy }) => remedy))].join(' '),
  });
}

function ofWrites(settled: SettledSettings): Finding[] {
  const found: Finding[] = [];
  const writes = settled.writes?.value ?? 'write-through';
  const commit = said(settled, 'commit');
  if (commit !== undefined) {
    if (writes === 'read-only')
      found.push(['writes', 'commit', 'there is nothing to commit', 'Leave `commit` out, or let the session write.']);
    else if (writes === 'redirect' && commit !== 'local')
      found.push([
        'writes',
        'commit',
        'the origin never gets what is written',
        'Leave `commit` out; `viaduct redirect commit` brings the changes to the origin.',
      ]);
    else if (!keepsLog(writes) && commit === 'local')
      found.push([
        'writes',
        'commit',
        'nothing is kept on this host',
        'Use `writes: write-back`, or leave `commit` out.',
      ]);
  }
  if (writes === 'redirect' && said(settled, 'write-back-after') !== undefined)
    found.push([
      'writes',
      'write-back-after',
      'nothing is written back before somebody says so',
      'Leave `write-back-after` out, or use `writes: write-back`.',
    ]);
  if (!keepsLog(writes)) {
    for (const key of [
      'write-back-after',
      'write-back-rate',
      'write-back-window',
      'dirty-limit',
      'dirty-age',
    ] as const) {
      if (said(settled, key) !== undefined)
        found.push([
          'writes',
          key,
          'no changes wait on this host',
          `Use \`writes: write-back\`, or leave \`${key}\` out.`,
        ]);
    }
  }
  return found;
}

function ofClosing(settled: SettledSettings): Finding[] {
  const onClose = said(settled, 'on-close');
  const writes = settled.writes?.value ?? 'write-through';
  if (onClose === undefined) return [];
  if (!keepsLog(writes))
    return [
      ['writes', 'on-close', 'no changes wait on this host', 'Leave `on-close` out, or use `writes: write-back`.'],
    ];
  if (onClose === 'discard' && writes !== 'redirect')
    return [
      [
        'writes',
        'on-close',
        'clients were told that their data is kept',
        'Use `writes: redirect` for what is thrown away, or `on-close: keep`.',
      ],
    ];
  return [];
}

function ofTimes(settled: SettledSettings): Finding[] {
  const { 'write-back-after': after, 'dirty-age': age, writes } = settled;
  if (after === undefined || age === undefined || !keepsLog(writes?.value ?? 'write-through')) return [];
  if (age.value >= after.value || age.from === byDefault) return [];
  return [
    [
      'dirty-age',
      'write-back-after',
      'a change cannot be written back later than it is old',
      `Give a \`dirty-age\` of ${writeDuration(after.value)} at least, or a shorter \`write-back-after\`.`,
    ],
  ];
}

function ofBelief(settled: SettledSettings): Finding[] {
  const found: Finding[] = [];
  const consistency = said(settled, 'consistency');
  if (said(settled, 'attribute-timeout') !== undefined && consistency === 'fixed')
    found.push([
      'consistency',
      'attribute-timeout',
      'what never changes is never asked for again',
      'Leave `attribute-timeout` out, or use `consistency: close-to-open`.',
    ]);
  if (said(settled, 'attribute-timeout') !== undefined && consistency === 'strict')
    found.push([
      'consistency',
      'attribute-timeout',
      'what is asked for at each use is not believed for a time',
      'Leave `attribute-timeout` out, or use `consistency: close-to-open`.',
    ]);
  if (consistency === 'strict' && said(settled, 'outage')?.misses === 'stale')
    found.push([
      'consistency',
      'outage',
      'an answer from memory is not what the origin has',
      'Use `outage: hold` or `fail`, or `consistency: close-to-open`.',
    ]);
  return found;
}

function ofRoom(settled: SettledSettings): Finding[] {
  if (said(settled, 'pin') !== true || said(settled, 'cache-priority') !== 'low') return [];
  return [
    [
      'pin',
      'cache-priority',
      'what stays in the cache cannot be the first to leave it',
      'Leave `pin` out, or use `cache-priority: normal`.',
    ],
  ];
}

/** undefined: nobody said it. */
function said<Key extends SettingKey>(settled: SettledSettings, key: Key): ValueOf[Key] | undefined {
  const entry = settled[key];
  return entry === undefined || entry.from === byDefault ? undefined : entry.value;
}

function told<Key extends SettingKey>(settled: SettledSettings, key: Key): string {
  const entry = settled[key];
  return entry === undefined ? key : `${key}: ${writeSetting(key, entry.value)} (${entry.from})`;
}
