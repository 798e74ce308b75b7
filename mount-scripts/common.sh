# shellcheck shell=bash
# What the scripts of the project share; read with `source`, from bash. Sets `top`, the root of the source tree.

unset CDPATH # with it, cd prints
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# One line to the person, as the programs write it.
say_error()
{
    printf '%s: %s\n' "${0##*/}" "$*" >&2
}

# packages_missing GROUP...: those of the groups' packages that are not installed, one a line.
packages_missing()
{
    local group package
    while read -r group package; do
        case " $* " in
        *" $group "*) ;;
        *) continue ;;
        esac
        if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
            printf '%s\n' "$package"
        fi
    done < <(grep -v '^#' "$top/mount-scripts/packages") | sort -u
}

# packages_require GROUP...: installs what is missing when we are root; else prints the one root command and fails.
packages_require()
{
    local missing log result=0
    if ! command -v dpkg-query >/dev/null; then
        say_error "this is no Debian; see mount-scripts/packages for what has to be installed"
        return 1
    fi
    missing=$(packages_missing "$@" | tr '\n' ' ')
    missing=${missing% }
    if [ -z "$missing" ]; then
        return 0
    fi
    if [ "$(id -u)" -ne 0 ]; then
        printf '%s\n' "Some packages are missing. As root, run this one command, then start again:" \
            "    apt-get update && apt-get install -y --no-install-recommends $missing" >&2
        return 1
    fi
    printf 'Installing: %s\n' "$missing"
    log=$(mktemp)
    # shellcheck disable=SC2086  # a list of words
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } \
        </dev/null >"$log" 2>&1 || result=1
    if [ "$result" -ne 0 ]; then
        cat "$log" >&2
        say_error "apt-get could not install: $missing"
    fi
    rm -f "$log"
    return "$result"
}

# fuse_require: /dev/fuse is there and ours to open. Root makes the node where a container lacks it, and /etc/mtab, without
# which `fusermount3 -u` of an ordinary user fails (systemd makes it when a machine starts).
fuse_require()
{
    if [ ! -e /etc/mtab ] && [ "$(id -u)" -eq 0 ]; then
        ln -s ../proc/self/mounts /etc/mtab 2>/dev/null || true
    fi
    if [ ! -e /dev/fuse ] && [ "$(id -u)" -eq 0 ]; then
        modprobe fuse 2>/dev/null || true
        [ -e /dev/fuse ] || mknod -m 0666 /dev/fuse c 10 229 2>/dev/null || true
    fi
    if [ ! -e /dev/fuse ]; then
        say_error "/dev/fuse is missing: as root run 'modprobe fuse' (a container needs '--device /dev/fuse')"
        return 1
    fi
    if ! { : <>/dev/fuse; } 2>/dev/null; then
        say_error "no permission to open /dev/fuse: as root run 'chmod 0666 /dev/fuse'"
        return 1
    fi
}

# user_build_directory: where an ordinary user builds who may not write into the source tree.
user_build_directory()
{
    printf '%s/beeftreefs/build\n' "${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}"
}

# find_program NAME: the path of one of our programs: built here, built for this user, or installed.
find_program()
{
    local candidate
    for candidate in "$top/build/release/$1" "$(user_build_directory)/$1"; do
        if [ -x "$candidate" ]; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    command -v "$1"
}

# is_our_mount DIRECTORY: whether a beeftreefs is mounted exactly there.
is_our_mount()
{
    [ "$(findmnt -n -o FSTYPE --mountpoint "$1" 2>/dev/null | tail -n 1)" = fuse.beeftreefs ]
}
