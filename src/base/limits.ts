/**
 * Every limit, with its reason. Nothing grows without one of these (DESIGN.md, rule 14); relations between them are
 * asserted at the end of the file.
 */
import { assert } from './assert.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

export const limits = {
  /** NFSv3 file handles are at most 64 bytes (RFC 1813 2.4, NFS3_FHSIZE). */
  fileHandleBytes: 64,
  /** Longest file name: what Linux file systems allow; a longer one is NFS3ERR_NAMETOOLONG. */
  nameBytes: 255,
  /** Longest path in MOUNT and in symbolic links (RFC 1813 5.1.1 MNTPATHLEN is 1024; Linux PATH_MAX is 4096). */
  pathBytes: 4096,
  /** Largest READ or WRITE payload served and asked for: what Linux and libnfs use at most. */
  transferBytes: MiB,
  /** Largest RPC record accepted: a transfer and the largest header around it. */
  recordBytes: MiB + 64 * KiB,
  /** Largest RPC record that a client accepts: READDIRPLUS replies of foreign servers may overshoot their count. */
  replyRecordBytes: 2 * MiB,
  /** Fragments of one record: a peer that sends one byte a fragment is cut off (RFC 5531 11 sets no limit). */
  recordFragments: 1024,
  /** AUTH_SYS bodies are at most 400 bytes (RFC 5531 8.2), so 16 groups. */
  authBytes: 400,
  authGroups: 16,
  authMachineNameBytes: 255,
  /**
   * Calls of one connection that are being worked on; above it, reading pauses until replies leave. Calls held in an outage
   * count, and must not block cached reads behind them: it is far above what a client has in flight.
   */
  connectionCalls: 8192,
  /** Bytes that those calls pin (their records) and will need (their expected replies): bounds the same pause by memory. */
  connectionCallBytes: 256 * MiB,
  /** Reply bytes of one connection that the peer has not taken; above it, reading pauses. */
  connectionReplyBytes: 16 * MiB,
  /** The same of all connections of one server together; above it, each may have only `crowdedReplyBytes` not taken. */
  serverReplyBytes: 192 * MiB,
  crowdedReplyBytes: MiB,
  /** Connections that one listener serves at a time. */
  listenerConnections: 1024,
  /** Largest READDIR or READDIRPLUS reply that is built. */
  directoryReplyBytes: 64 * KiB,
  /** The largest file offset: the largest integer that a double holds exactly, 8 PiB. Beyond it: NFS3ERR_FBIG or end of file. */
  fileBytes: Number.MAX_SAFE_INTEGER,
  /** The clean cache's unit of allocation (a frame holds one block) and of validity and checksum. */
  blockBytes: 64 * KiB,
  sectorBytes: 4 * KiB,
  /** Frames of a set. */
  cacheWays: 16,
  /** Smallest cache that makes sense: one set a bank is silly below it. */
  cacheBytes: 16 * MiB,
  /** Part of the machine's memory that the tags of one cache may take when it is full. */
  cacheMemoryShare: 0.5,
  /** Bytes on their way into the cache's banks, of one thread; above it what arrives is not kept: the disk is slower than the link. */
  cacheFillBytes: 64 * MiB,
  /** Bytes that read-ahead of one session may have asked for and not received: 200 ms at 1 Gbit/s is 25 MB. */
  readAheadBytes: 64 * MiB,
  /** Unstable data of one session kept for a second sending until the origin's COMMIT; above it we COMMIT by ourselves. */
  unstableBytes: 64 * MiB,
  /** Files whose attributes one session keeps, files whose ACCESS results it keeps, names whose look-up it keeps: about 400 bytes each. */
  attributeEntries: 65_536,
  accessEntries: 65_536,
  nameEntries: 65_536,
  /** Replies to non-idempotent calls that are kept (duplicate request cache). */
  duplicateRequests: 4096,
  /** Their bytes, keys included; such replies are some 200 bytes, but nothing forces them to be. */
  duplicateBytes: 8 * MiB,
  /** How long they are kept: longer than clients retransmit, shorter than an xid counter needs to come round. */
  duplicateAgeMs: 5 * 60 * 1000,
  /** Trees that one server leases at a time, and how many ended leases it remembers. */
  leases: 1024,
  endedLeases: 256,
  /** Handles that the lease layer remembers the tree of: some 200 bytes each. */
  leasePlaces: 65_536,
  /** Files under conditional change whose chain is remembered: above it a writer may be told NOT_SYNC of its own change, and looks again. */
  changeChains: 4_096,
  /** Clean files whose presented times write-back remembers: some 400 bytes each, copied into each segment of the dirty log. */
  writeBackRecords: 4096,
  /** Credentials of writers that write-back remembers before it forgets those whose changes are at the origin: some 100 bytes each, noted likewise. */
  writeBackWriters: 256,
  /** Names lately seen, of which one is wanted when a file becomes dirty; about 200 bytes each. */
  writeBackPlaces: 16_384,
  /** Longest path that is noted with a file that waits to be written back: with all else that is noted of it, it fits a note of 4,096 bytes. */
  notedPathBytes: 1024,
  /** Bytes of one session on their way back to the origin: 100 ms at 1 Gbit/s and a queue are 15 MB; they lie in memory meanwhile. */
  writeBackFlightBytes: 16 * MiB,
  /** Files of one epoch that are looked at or written at a time: 64 over 40 ms are 1,600 small files a second. */
  writeBackFiles: 64,
  /** Smallest limit of a dirty log: below it there is no room for a few transfers beside the records that trimming needs. */
  dirtyLogBytes: 16 * MiB,
  /** Clean files whose number a dirty log remembers over restarts: some 200 bytes each at the head of each of its segments. */
  dirtyLogFiles: 16_384,
  /** Files that `viaduct status` lists of those with changes waiting, the largest; the rest is counted. */
  listedDirtyFiles: 100,
  /** Largest body of a request to a control socket: a path and some. */
  controlBodyBytes: 16 * KiB,
  /** Tasks (write-back, invalidate, ...) that one session runs at a time: each is a person or a script that waits. */
  sessionTasks: 64,
  /** Directories whose names a session remembers, to tell paths of files. */
  pathEntries: 4096,
  /** Files of which a session with rules for files remembers name, size and settings: as many as attributes, about 350 bytes each. */
  ruledFiles: 65_536,
  /** Names that are read to find one that a change is for, where rules make files read-only: half of what is remembered, so that the rest stays. */
  searchedNames: 32_768,
  /** Rules for files of one session, and the length of their patterns: each file is matched against all of them, once. */
  fileRules: 256,
  ruleGlobBytes: 1024,
  /** Calls that `--outage fail` has refused and the origin still owes an answer to, and their bytes; above it nothing more is asked. */
  refusedCalls: 4096,
  refusedBytes: 64 * MiB,
  /** `--outage stale`: entries of listings kept for an outage, about 150 bytes each; names known not to be there. */
  listedEntries: 65_536,
  absentNames: 16_384,
  /** Largest file that may have meta-data: its sectors are counted in 31 bits. */
  contentFileBytes: 8 * 1024 * 1024 * MiB,
  /** Decoded head of one meta-data file: 13 MiB for 100 GiB of distinct data; a sparse file of terabytes fits too. */
  contentHeadBytes: 64 * MiB,
  /** Blocks of one working set: 8 GiB of data; its file fits one transfer even if nothing of it compresses. */
  workingSetBlocks: 131_072,
  /** Files of which a session remembers what was touched and how they are called: 512 bytes for each 256 MiB that were touched. */
  workingSetFiles: 1024,
  /** What it remembers of them together: some fifty recordings of 8 GiB each, more than guests start at a time. */
  workingSetMemoryBytes: 64 * MiB,
  /** Working sets that one origin's state directory keeps, and their bytes: five a block at most. */
  keptWorkingSets: 1024,
  keptWorkingSetBytes: 64 * MiB,
  /** Purposes of one file for which a server keeps a working set: whoever may read the file may name new ones. */
  workingSetPurposes: 16,
  /** Chunks that a host remembers the place of: 12 bytes each, 4 GiB of data. */
  hintEntries: 1024 * 1024,
  /** Files of the clean cache that they may lie in: some 150 bytes each. */
  hintFiles: 16_384,
  /** Heads and pages of meta-data that one session keeps decoded: pages of 13 GiB of data. */
  contentMemoryBytes: 64 * MiB,
  /** Decoded groups of packs that it keeps for the blocks that will want their other chunks. */
  contentGroupsBytes: 32 * MiB,
  /** One READ of a pack: groups that lie together are fetched together, but none waits long for the others. */
  contentReadBytes: 256 * KiB,
  /** Files that a session knows the name of, to find their meta-data: some 300 bytes each. */
  contentFiles: 16_384,
  /** Images whose chunks a packer looks for in the one that it packs, the newest: 16 bytes are read for each of their data sectors. */
  imageSiblings: 64,
  /** Images that the keeper of packs remembers to be current, without opening them: some 400 bytes each. */
  keptImages: 16_384,
  /** Smallest file whose meta-data is looked for: below it one READ brings all. */
  contentSmallestBytes: MiB,
  /**
   * A slower link has its READs compressed by the server: zstd packs 60 to 100 MB/s a core there, so below half of that a reply comes
   * sooner packed, and one core keeps the link busy.
   */
  packedReadBytesPerSecond: 32 * MiB,
  /** Largest body of a request to the daemon's API: a session's request with all its settings is some KiB. */
  apiBodyBytes: MiB,
  /** How deep JSON in it may be nested: settings have two levels; whoever walks through it must not run out of stack. */
  apiBodyDepth: 16,
  /** Largest head of such a request, its URL included. */
  apiHeadBytes: 16 * KiB,
  /** Connections to the daemon's socket at a time, and as many to its TCP port: commands, scrapers, pages with six each. */
  apiConnections: 256,
  /** Who follows events or a task at a time, and what one of them may leave unread before it is cut off. */
  apiStreams: 64,
  apiStreamBytes: 256 * KiB,
  /** Tasks that can still be asked about: some 1 KiB each. Of those under way together there are no more either. */
  apiTasks: 1000,
  /** Sessions with series of their own in `/metrics`, the oldest first: some 150 series each. */
  metricSessions: 256,
  /** Longest path of a Unix socket: `sun_path` has 108 bytes, the last of them is NUL (unix(7)). */
  socketPathBytes: 107,
  /** A configuration file: a thousand sessions take about 200 KiB. */
  configurationBytes: MiB,
  /** Values of one, with those that aliases repeat, and how deep they lie: nine aliases of nine aliases and so on would be any number. */
  configurationValues: 50_000,
  configurationDepth: 16,
  /** Problems of one that are told at once. */
  configurationProblems: 100,
  /** A cache of which no size is configured: what a dozen guests boot from. */
  configuredCacheBytes: 10 * 1024 * MiB,
  /** Threads that may be asked for: more than any host has cores to spare for them. */
  configuredWorkers: 64,
  /** TCP connections of one session to an origin: beyond it they only share one link's losses further. */
  originConnections: 16,
  /** Events that the daemon keeps for clients that come back after their connection broke: some 1 KiB each. */
  daemonEvents: 1_000,
  /** Sessions that a daemon opens at a time when it starts: enough to wait for many origins, few enough to leave threads to the disk. */
  sessionOpenings: 32,
  /** Log lines of a session that are kept for the report if it fails. */
  reportedLogLines: 50,
  /** Reports of failed sessions that are kept, the newest: some 100 KiB each. */
  failureReports: 200,
  /** Patterns that the braces of one glob may stand for; each is tried on every path. */
  globAlternatives: 256,
} as const;

assert(limits.recordBytes > limits.transferBytes + 4 * KiB, 'a record must hold a transfer and its header');
assert(limits.blockBytes % limits.sectorBytes === 0, 'a block is whole sectors');
assert(limits.transferBytes % limits.blockBytes === 0, 'a transfer is whole blocks');
assert(limits.blockBytes / limits.sectorBytes === 16, 'the valid bits of a frame are one u16');
