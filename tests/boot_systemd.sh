#!/bin/bash
# Boot a real systemd in namespaces of its own, with the drumwatchd unit and nothing else, and run
# a probe in it. The host's units, mounts, network, devices and cgroups stay as they are.
#
#   boot_systemd.sh EXCHANGE REPOSITORY PYTHON
#
# EXCHANGE/units/          goes to /etc/systemd/system
# EXCHANGE/user-units/     goes to the user units of "person", whose home is /srv/person
# EXCHANGE/etc/drumwatchd/ goes to /etc/drumwatchd
# EXCHANGE/probe           is run as root once systemd is up; its folder is /run/exchange inside
# /opt/drumwatchd/bin/drumwatchd runs REPOSITORY's package with PYTHON's libraries.
#
# Exit status: that of the probe; 77 when this machine can't do it, with the reason on stderr.

set -euo pipefail

unable() {
    echo "$*" >&2
    exit 77
}

# The stages call this script again, each one namespace further in.
stage=${STAGE:-outside}
exchange=$1 repository=$2 python=$3

if [ "$stage" = outside ]; then
    [ "$(id -u)" = 0 ] || unable "namespaces for a system manager need root"
    for tool in unshare systemctl; do
        command -v $tool >/dev/null || unable "$tool isn't installed"
    done
    [ -x /lib/systemd/systemd ] || unable "/lib/systemd/systemd isn't installed"
    unshare --mount --net --ipc --uts --pid --cgroup --fork true 2>/dev/null ||
        unable "this machine allows no namespaces"
    STAGE=cgroup exec unshare --mount --propagation private -- "$0" "$@"
fi

if [ "$stage" = cgroup ]; then
    # A cgroup of our own, the root of what the inner systemd sees.
    mkdir -p "$exchange/cgroup"
    mount -t cgroup2 none "$exchange/cgroup" 2>/dev/null || unable "no cgroup2 here"
    home=$exchange/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
    ours=${home%/}/drumwatchd-test-$$
    mkdir "$ours" 2>/dev/null || unable "cgroups are read-only here"
    echo $$ >"$ours/cgroup.procs"
    [ -p "$exchange/kmsg" ] || mkfifo "$exchange/kmsg"
    cat <>"$exchange/kmsg" >"$exchange/systemd.log" &
    reader=$!
    status=0
    STAGE=inside timeout --signal=KILL "${LIMIT_SECONDS:-180}" \
        unshare --pid --fork --kill-child --mount --cgroup --net --ipc --uts -- \
        "$0" "$@" </dev/null || status=$?
    kill $reader
    wait $reader || true
    echo $$ >"$home/cgroup.procs"
    find "$ours" -depth -type d -exec rmdir {} \; || true
    exit "$(cat "$exchange/probe.status" 2>/dev/null || echo "${status/#0/1}")"
fi

mount --make-rprivate /
mount -t proc proc /proc
mount -t sysfs -o ro sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --bind -o ro /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys

base=$("$python" -c 'import sys; print(sys.base_prefix)')
site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
interpreter=$("$python" -c 'import sys; print(f"python{sys.version_info[0]}.{sys.version_info[1]}")')

# Everything that may lie below a folder which the unit hides goes to /opt first.
root=/mnt
mount -t tmpfs -o mode=755 tmpfs $root
mkdir -p $root/{etc,opt,run,srv,dev,lib} $root/opt/drumwatchd/{bin,source,site,python}
cp -a /etc/. $root/etc/
mount --bind "$repository" $root/opt/drumwatchd/source
mount --bind "$site" $root/opt/drumwatchd/site
[ "$base" = /usr ] || mount --bind "$base" $root/opt/drumwatchd/python
mkdir $root/run/exchange
mount --bind "$exchange" $root/run/exchange

rm -rf $root/etc/systemd/system $root/etc/drumwatchd
mkdir -p $root/etc/systemd/system $root/etc/drumwatchd
cp -r "$exchange"/units/. $root/etc/systemd/system/
cp -r "$exchange"/etc/drumwatchd/. $root/etc/drumwatchd/
sed -i -E '/^(drumwatchd|person):/d' $root/etc/passwd $root/etc/group
echo 'drumwatchd:x:967:967::/nonexistent:/usr/sbin/nologin' >>$root/etc/passwd
echo 'drumwatchd:x:967:' >>$root/etc/group
echo 'person:x:968:968::/srv/person:/bin/sh' >>$root/etc/passwd
echo 'person:x:968:' >>$root/etc/group
install -d -o 967 -g 967 -m 2775 $root/srv/drumwatchd{,/inbox,/archive}
install -d -o 968 -g 968 $root/srv/person{,/.local,/.local/bin,/.config,/.config/systemd{,/user}}
cp -r "$exchange"/user-units/. $root/srv/person/.config/systemd/user/
ln -s /opt/drumwatchd/bin/drumwatchd $root/srv/person/.local/bin/drumwatchd

prefix=/opt/drumwatchd/python
[ "$base" = /usr ] && prefix=/usr
cat >$root/opt/drumwatchd/bin/drumwatchd <<EOF
#!/bin/sh
export PYTHONPATH=/opt/drumwatchd/source:/opt/drumwatchd/site PYTHONDONTWRITEBYTECODE=1
export LD_LIBRARY_PATH=$prefix/lib
exec $prefix/bin/$interpreter -m drumwatchd "\$@"
EOF
chmod 755 $root/opt/drumwatchd/bin/drumwatchd

# Devices of its own, lest systemd adds links to the host's.
mount -t tmpfs -o mode=755 tmpfs $root/dev
for device in null zero full random urandom tty; do
    touch $root/dev/$device
    mount --bind /dev/$device $root/dev/$device
done
mkdir -m 1777 $root/dev/shm
mkdir $root/dev/pts $root/dev/mqueue
mount -t devpts -o newinstance,ptmxmode=666 devpts $root/dev/pts
ln -s pts/ptmx $root/dev/ptmx
ln -s /proc/self/fd $root/dev/fd
# What systemd itself says lands in a file.
touch $root/dev/kmsg
mount --bind "$exchange/kmsg" $root/dev/kmsg

# Only the targets that a service stands on: no generators, no services of the host.
mkdir -p $root/lib/{system,generators}
for target in sysinit basic local-fs local-fs-pre remote-fs remote-fs-pre sockets timers paths \
    slices swap shutdown umount final exit; do
    cp -L "/lib/systemd/system/$target.target" $root/lib/system/
done
cp -L /lib/systemd/system/systemd-exit.service $root/lib/system/
mount --bind $root/lib/system /lib/systemd/system
mount --bind $root/lib/generators /lib/systemd/system-generators

cat >$root/etc/systemd/system/probe.service <<EOF
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/sh -c '/run/exchange/probe; echo \$\$? >/run/exchange/probe.status; systemctl --force exit'
StandardInput=null
StandardOutput=append:/run/exchange/probe.log
StandardError=append:/run/exchange/probe.log
EOF
printf '[Unit]\nDefaultDependencies=no\nWants=probe.service\nAllowIsolate=yes\n' \
    >$root/etc/systemd/system/probe.target

for folder in etc opt srv dev run; do
    mount --rbind $root/$folder /$folder
done
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs -o mode=1777 tmpfs /var/tmp
mount -t tmpfs -o mode=755 tmpfs /var/lib
cd /
export container=drumwatchd-test
exec /lib/systemd/systemd --system --unit=probe.target --log-target=kmsg --log-level=${LOG_LEVEL:-info} --show-status=no
