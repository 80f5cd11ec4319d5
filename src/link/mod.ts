/** A simulated wide-area link: a relay with a round-trip time, a rate and byte counters. */
export { type Endpoint, type Link, type LinkCounters, type LinkOptions, type Route, startLink } from './link.ts';
export { type LinkProcess, startLinkProcess } from './process.ts';
export { formatRate, parseRate } from './rate.ts';
