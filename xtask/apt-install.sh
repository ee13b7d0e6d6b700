#!/bin/sh
# Installs Debian packages, as root: sh xtask/apt-install.sh PACKAGE...
#
# No service starts: while packages are unpacked, policy-rc.d answers 101 ("forbidden") to everybody who would
# start one. What was there before is put back, also when the installation fails or is interrupted.
set -eu

policy=/usr/sbin/policy-rc.d
saved=
if [ -e "$policy" ]; then
    saved=$(mktemp "$policy.XXXXXX")
    cp -p "$policy" "$saved"
fi

restore() {
    if [ -n "$saved" ]; then
        mv -f "$saved" "$policy"
    else
        rm -f "$policy"
    fi
}
trap restore EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

# Somebody else's apt may be at work on a fresh machine; mirrors fail now and then.
export DEBIAN_FRONTEND=noninteractive
set -- -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 install -y --no-install-recommends "$@"
apt-get -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 update </dev/null
apt-get "$@" </dev/null
