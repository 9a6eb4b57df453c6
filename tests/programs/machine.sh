#!/bin/sh
# Runs a script on a copy of this machine, which is written to without a trace, and prints `left: PATH` for each file that it
# leaves there. Needs root, and a mount namespace of its own.
# Usage: machine.sh FOLDER WORKSPACE SCRIPT LIBRARY ARCHIVE COMMAND [PACKAGES]
# FOLDER is empty. In the copy, target/ of the workspace has library, archive and command as a build leaves them, and target/deb
# the files of the folder PACKAGES.
set -eu
folder=$1
workspace=$2
script=$3
root=$folder/root
target=$root$workspace/target

mount -t tmpfs machine "$folder"
mkdir "$folder/upper" "$folder/work" "$root"
mount -t overlay machine -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
if [ ! -e "$root$workspace/Makefile" ]; then
    mkdir -p "$root$workspace"
    mount --bind "$workspace" "$root$workspace"
fi
mkdir -p "$target" "$root/tmp/machine"
mount -t tmpfs machine "$target"
mkdir "$target/release" "$target/tool"
cp "$4" "$5" "${4%.so}_jemalloc.so" "${5%.a}_jemalloc.a" "$6" "$target/release"
cp "$6" "$target/tool"
[ $# -lt 7 ] || cp -r "$7" "$target/deb"
mount -t tmpfs machine "$root/tmp/machine"
cp -r "$workspace/tests/programs/stand-ins" "$root/tmp/machine/bin"
cp "$script" "$root/tmp/machine/script"
# The index of the man pages is renewed with each package otherwise, which takes seconds.
rm -f "$root/var/lib/man-db/auto-update"

status=0
env -i HOME=/root LC_ALL=C PATH="/tmp/machine/bin:$PATH" \
    chroot "$root" bash -euxo pipefail -c 'cd "$0"; . /tmp/machine/script' "$workspace" || status=$?

# What package tools note for themselves is no file of a package.
cd "$folder/upper"
find . -mindepth 1 \( -path ./tmp -o -path ./run -o -path ./var/lib/dpkg -o -path ./var/log -o -path ./var/cache \
    -o -path ./var/lib/man-db -o -path ./etc/ld.so.cache -o -path ./proc -o -path ./dev -o -path ./sys \) -prune -o -print | while read -r path; do
    [ -d "$path" ] && [ -d "${path#.}" ] || echo "left: ${path#.}"
done
exit $status
