/** The entry of a link process (process.ts): one description in, then commands, until the parent is gone. */
import { silentLog, systemClock, ViaductError } from '../base/mod.ts';
import { type Link, startLink } from './link.ts';
import type { LinkAnswer, LinkCommand, LinkDescription } from './process.ts';

const answer = (message: LinkAnswer): void => {
  process.send?.(message);
};

process.once('message', async (description: LinkDescription) => {
  try {
    const link = await startLink({ ...description, clock: systemClock, log: silentLog });
    process.on('message', (command: LinkCommand) => answer(execute(link, command)));
    answer({ kind: 'ready', addresses: link.addresses });
  } catch (error) {
    if (!(error instanceof ViaductError)) throw error;
    process.send?.({ kind: 'failed', ...error.toJSON() }, () => process.exit(1));
  }
});

// The terminal's Ctrl-C goes to the whole group; the parent decides when the link ends, and its end is ours.
process.on('SIGINT', () => {});
process.on('disconnect', () => process.exit(0));

function execute(link: Link, command: LinkCommand): LinkAnswer {
  if (command === 'counters') return { kind: 'counters', counters: link.counters() };
  if (command === 'cut') link.cut();
  else link.restore();
  return { kind: 'done' };
}
