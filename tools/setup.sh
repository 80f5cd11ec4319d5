#!/bin/sh
# Makes a checkout ready: npm packages and Debian packages. Usage: tools/setup.sh [npm|test|demo|bench]...
#
# Runs on a Debian machine that has only Node >= 20, npm and git. Does only what is missing and takes well under a second
# when nothing is: npm packages are compared by a stamp of package-lock.json, Debian packages by one dpkg-query.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"

# What QEMU needs to boot a guest from nfs://, and what builds that guest.
boot='qemu-system-x86 qemu-utils qemu-block-extra busybox-static cpio kmod zstd e2fsprogs iproute2 procps util-linux mmdebstrap'
# Foreign clients and servers that Viaduct is tested and measured against. nfs-common has mount.nfs, rpcbind the port mapper.
peers='libnfs-utils nfs-ganesha nfs-ganesha-vfs nfs-common rpcbind'
# What guests do in tests, beside busybox; and clocks that jump.
work='sqlite3 faketime'
# A browser, for the daemon's page. Without its recommended packages; it brings some shared libraries of a desktop.
browser='chromium'

say() { printf '%s\n' "setup: $*" >&2; }
fail() {
  printf '%s\n' "setup: $1" "  remedy: $2" >&2
  exit 1
}

install_npm_packages() {
  command -v node >/dev/null 2>&1 || fail 'node is not on the PATH.' 'install Node.js 20 or later (https://nodejs.org).'
  command -v npm >/dev/null 2>&1 || fail 'npm is not on the PATH.' 'install npm; it comes with Node.js.'
  major=$(node -p 'process.versions.node.split(".")[0]')
  [ "$major" -ge 20 ] || fail "node is version $major." 'install Node.js 20 or later (https://nodejs.org).'
  stamp=node_modules/.viaduct-lock
  if [ ! -f "$stamp" ] || ! cmp -s package-lock.json "$stamp"; then
    say 'installing npm packages (npm ci)'
    npm ci --no-fund --no-audit --loglevel=error >&2 || fail 'npm ci failed.' 'look at the message of npm above; a network or a proxy setting is the usual reason.'
    cp package-lock.json "$stamp"
  fi
  # The npm package "node" brings Node 24 by its install script, which a strict npm may have refused to run.
  if [ ! -x node_modules/node/bin/node ]; then
    say 'running the install script of the npm package "node"'
    (cd node_modules/node && node installArchSpecificPackage >&2) || true
  fi
  if [ ! -x node_modules/node/bin/node ]; then
    [ "$major" -ge 24 ] || fail 'node_modules/node/bin/node is missing, so there is no Node 24.' \
      'run "npm rebuild node --foreground-scripts", or put a Node.js 24 first on the PATH.'
    say "node_modules/node/bin/node is missing; the node on the PATH (version $major) is used"
  fi
}

# Prints those of the named packages that are not installed.
missing_packages() {
  installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null || true)
  for name in "$@"; do
    case "
$installed
" in
      *"
$name installed
"*) ;;
      *) printf '%s ' "$name" ;;
    esac
  done
}

# Packages with daemons (rpcbind, nfs-ganesha) start them when they are installed. We only need their programs: while we
# install, and only then, a policy says that nothing is started; where systemd runs, what we brought in is not enabled either.
install_debian_packages() {
  policy=/usr/sbin/policy-rc.d
  ours=
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\n# Put here by tools/setup.sh of Viaduct while it installs packages.\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    ours=$policy
  fi
  # shellcheck disable=SC2064
  trap "${ours:+rm -f $ours}" EXIT
  trap 'exit 130' INT TERM HUP
  export DEBIAN_FRONTEND=noninteractive
  say "installing Debian packages: $*"
  log=$(mktemp)
  apt-get -q -o DPkg::Lock::Timeout=300 update >"$log" 2>&1 || say 'apt-get update had problems; going on with the lists that are there'
  if ! apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold install --no-install-recommends "$@" >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    rm -f "$log"
    fail 'apt-get could not install the packages.' "see above; then run: apt-get install --no-install-recommends $*"
  fi
  rm -f "$log"
  if [ -d /run/systemd/system ]; then
    for unit in rpcbind.socket rpcbind.service nfs-ganesha.service; do
      case " $* " in *" ${unit%.*} "*) systemctl disable --quiet "$unit" 2>/dev/null || true ;; esac
    done
  fi
  rm -f ${ours:+"$ours"}
  trap - EXIT INT TERM HUP
}

need_debian_packages() {
  command -v dpkg-query >/dev/null 2>&1 || fail 'this is not a Debian system (no dpkg-query).' "install the equivalents of: $*"
  missing=$(missing_packages "$@")
  missing=${missing% }
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    fail "Debian packages are missing and this is not root." "run: sudo apt-get update && sudo apt-get install --no-install-recommends $missing"
  fi
  # shellcheck disable=SC2086
  install_debian_packages $missing
  left=$(missing_packages $missing)
  [ -z "$left" ] || fail "packages are still missing after the installation: $left" 'look at the sources in /etc/apt.'
}

[ $# -gt 0 ] || set -- npm
for profile in "$@"; do
  install_npm_packages
  # shellcheck disable=SC2086
  case $profile in
    npm) ;;
    demo) need_debian_packages $boot ;;
    bench) need_debian_packages $boot $peers ;;
    test) need_debian_packages $boot $peers $work $browser ;;
    proof) need_debian_packages $boot $peers $work ;;
    *) fail "unknown profile: $profile" 'use npm, test, demo, bench or proof.' ;;
  esac
done
