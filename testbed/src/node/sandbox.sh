# Runs a program in a root folder of its own, inside a mount namespace that was made for this shell. It ends as the
# program, which therefore gets the signals.
#   $1       the root folder
#   $2 …     mounts: kind (ro or rw), source, target; then --
#   the rest what to run: chroot or unshare with the program
set -e
# As in containers: the folders made here are for every user.
umask 022
root=$1
shift
# A mount of its own, so that it can be made read-only.
mount --bind "$root" "$root"
while [ "$1" != -- ]; do
    kind=$1 source=$2 target=$root$3
    shift 3
    if [ "$target" != "$root/" ]; then
        if [ -d "$source" ]; then
            mkdir -p "$target"
        else
            mkdir -p "${target%/*}"
            [ -e "$target" ] || : >"$target"
        fi
        mount --rbind "$source" "$target"
    fi
    [ "$kind" = rw ] || mount -o remount,bind,ro "$target"
done
shift
exec "$@"
