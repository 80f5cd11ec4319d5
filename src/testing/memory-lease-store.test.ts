import { leaseStoreSuite } from './lease-store-suite.ts';
import { MemoryLeaseStore } from './memory-lease-store.ts';

leaseStoreSuite('memory', () => ({ store: new MemoryLeaseStore(), cleanup() {} }));
