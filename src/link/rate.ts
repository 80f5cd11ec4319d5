/** Rates as people write them: `100M`, `1G`, `14.5M`, `64k`, `250000`; in bits per second, decimal. */
import { ViaductError } from '../base/mod.ts';

const factors = { '': 1, k: 1e3, m: 1e6, g: 1e9 } as const;

export function parseRate(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([kKmMgG]?)(?:bit\/s|bps)?$/.exec(text.trim());
  const rate = match === null ? 0 : Number(match[1]) * factors[match[2]!.toLowerCase() as keyof typeof factors];
  if (rate >= 1000) return rate;
  throw new ViaductError('CONFIGURATION_INVALID', {
    cause: `"${text}" is not a rate`,
    remedy: 'give bits per second with k, M or G behind the number, such as 100M (at least 1k)',
  });
}

export function formatRate(bitsPerSecond: number): string {
  if (bitsPerSecond >= 1e9) return `${round(bitsPerSecond / 1e9)} Gbit/s`;
  if (bitsPerSecond >= 1e6) return `${round(bitsPerSecond / 1e6)} Mbit/s`;
  return `${round(bitsPerSecond / 1e3)} kbit/s`;
}

const round = (value: number): number => Math.round(value * 100) / 100;
