/** Who calls: an AUTH_SYS identity (RFC 5531 8.2), or nobody (AUTH_NONE). */
export interface Credential {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups, at most 16. */
  readonly gids: readonly number[];
  /** Equal for equal credentials: the key of access caches. */
  readonly key: string;
}

export const nobodyId = 65534;

export function credential(uid: number, gid: number, gids: readonly number[] = []): Credential {
  return { uid, gid, gids, key: `${uid}:${gid}:${gids.join(',')}` };
}

export const nobody: Credential = credential(nobodyId, nobodyId);

export function inGroup(who: Credential, gid: number): boolean {
  return who.gid === gid || who.gids.includes(gid);
}
