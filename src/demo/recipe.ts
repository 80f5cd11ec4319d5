/**
 * What the demo's guests are made of. A guest is built once and kept; a change in here makes a new one, because the folder that
 * keeps it is named by a hash of all this.
 */
import { createHash } from 'node:crypto';

export const guestKinds = ['debian', 'busybox'] as const;
export type GuestKind = (typeof guestKinds)[number];

/** The guest writes it on its console when it has done its start-up work. */
export const readyLine = 'GUEST-READY';
/** `GUEST-STEP name` goes before each piece of that work; `GUEST-READS n m`: requests and sectors read from its disk. */
export const stepWord = 'GUEST-STEP';
export const readsWord = 'GUEST-READS';
/** `GUEST-PROBE` is all that the kernel and its initial file system say when they are only to show that they run. */
export const probeLine = 'GUEST-PROBE';

export interface Recipe {
  readonly kind: GuestKind;
  readonly suite: string;
  readonly packages: readonly string[];
  readonly diskMebibytes: number;
  readonly memoryMebibytes: number;
  readonly init: string;
}

/** In the order of loading. crc32c-intel is left out: an emulated CPU need not have the instruction. */
export const modules = [
  'virtio_ring',
  'virtio',
  'virtio_pci_legacy_dev',
  'virtio_pci_modern_dev',
  'virtio_pci',
  'virtio_blk',
  'crc16',
  'mbcache',
  'jbd2',
  'crc32c_generic',
  'libcrc32c',
  'ext4',
] as const;

export const initialInit = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
if /bin/busybox grep -q viaduct.probe /proc/cmdline; then
  echo ${probeLine}
  exec /bin/busybox poweroff -f
fi
for module in ${modules.join(' ')}; do /bin/busybox insmod /modules/$module.ko; done
/bin/busybox mount -t ext4 -o ro /dev/vda /new || exec /bin/busybox poweroff -f
/bin/busybox umount /proc
/bin/busybox mount --move /dev /new/dev
exec /bin/busybox switch_root /new /sbin/init
`;

const countReads = (awk: string): string => `${awk} '$3 == "vda" { print "${readsWord}", $4, $6 }' /proc/diskstats`;

const debianInit = `#!/bin/bash
# A start-up like a small server's: devices, libraries, services, an application that asks one of them.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
step() { echo "${stepWord} $1"; }
step mounts
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs tmpfs /run
mkdir -p /dev/pts /run/lock /run/sshd /run/dbus; mount -t devpts devpts /dev/pts
mount -o remount,rw /; hostname guest
step devices
/lib/systemd/systemd-udevd --daemon 2>/dev/null; udevadm trigger --action=add; udevadm settle
step libraries
ldconfig -p >/dev/null; ip link set lo up
step services
rsyslogd; cron; dbus-daemon --system
/usr/sbin/sshd; nginx; redis-server --daemonize yes >/dev/null
step packages
apt-get check -qq; dpkg -l >/dev/null
step application
python3 -c 'import http.server, ssl, sqlite3, asyncio, json, email, logging, urllib.request, multiprocessing
print(urllib.request.urlopen("http://127.0.0.1/").status)'
perl -MPOSIX -MEncode -MFile::Find -e 'print "perl\\n"'; git --version
openssl verify -CAfile /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ISRG_Root_X1.pem
redis-cli ping
${countReads('awk')}
echo ${readyLine}
exec sleep infinity
`;

const busyboxInit = `#!/bin/busybox sh
export PATH=/bin
echo "${stepWord} mounts"
/bin/busybox mount -t proc proc /proc
echo "${stepWord} checksums"
cd /data && /bin/busybox sha256sum -c -s ../SHA256SUMS || exec /bin/busybox poweroff -f
/bin/busybox ${countReads('awk')}
echo ${readyLine}
exec /bin/busybox sleep 999999
`;

const recipes: Readonly<Record<GuestKind, Recipe>> = {
  debian: {
    kind: 'debian',
    suite: 'bookworm',
    packages: [
      'ca-certificates',
      'cron',
      'dbus',
      'git',
      'iproute2',
      'kmod',
      'nginx-light',
      'openssh-server',
      'openssl',
      'perl',
      'procps',
      'python3',
      'redis-server',
      'rsyslog',
      'sqlite3',
      'udev',
      'vim-tiny',
    ],
    diskMebibytes: 1600,
    memoryMebibytes: 320,
    init: debianInit,
  },
  busybox: {
    kind: 'busybox',
    suite: '',
    packages: [],
    diskMebibytes: 32,
    memoryMebibytes: 128,
    init: busyboxInit,
  },
};

export function recipe(kind: GuestKind): Recipe {
  return recipes[kind];
}

/** Names the folder: twelve hexadecimal digits. Counted up by hand when the building itself changes what comes out. */
const buildVersion = 1;

export function recipeHash(recipe: Recipe): string {
  const text = JSON.stringify([buildVersion, recipe, modules, initialInit]);
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}
