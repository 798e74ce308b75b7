# shellcheck shell=bash
# What the mount tests share: a directory of their own, mounting and unmounting by path, assertions that count failures
# and go on, and a trap that leaves nothing mounted and nothing running.
#
# A test sources this, runs its checks, and ends with `finish`.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=${BEEFTREE_BUILD:-$here/../../build/release}
build=$(cd "$build" && pwd) || exit 1
beeftreefs=$build/beeftreefs
beeftree=$build/beeftree
for program in "$beeftreefs" "$beeftree"; do
    if [ ! -x "$program" ]; then
        printf '%s is not built\n' "$program" >&2
        exit 1
    fi
done
scratch=$(mktemp -d "${TMPDIR:-/tmp}/mount-test-XXXXXX") || exit 1
scratch=$(cd "$scratch" && pwd -P)
# The one mount that most tests need.
# shellcheck disable=SC2034
database=$scratch/db.bt
mount_point=$scratch/mnt
mkdir "$mount_point"
failures=0
checks=0
started_pids=()

# --- Saying what failed

fail()
{
    failures=$((failures + 1))
    printf 'FAILED (%s:%s): %s\n' "$(basename "${BASH_SOURCE[-1]}")" "${BASH_LINENO[-2]}" "$*"
}

section()
{
    printf -- '--- %s\n' "$*"
}

# expect_equal WHAT WANTED GOT
expect_equal()
{
    checks=$((checks + 1))
    [ "$2" = "$3" ] || fail "$1: wanted '$2', got '$3'"
}

# expect_match WHAT REGULAR_EXPRESSION GOT
expect_match()
{
    checks=$((checks + 1))
    [[ $3 =~ $2 ]] || fail "$1: wanted something like '$2', got '$3'"
}

# expect_ok WHAT COMMAND...: its output is shown only when it fails.
expect_ok()
{
    local what=$1 output status=0
    shift
    checks=$((checks + 1))
    output=$("$@" 2>&1) || status=$?
    [ "$status" -eq 0 ] || fail "$what: status $status: $output"
    return "$status"
}

# expect_status WHAT STATUS COMMAND...: leaves what it printed in $output.
expect_status()
{
    local what=$1 wanted=$2 status=0
    shift 2
    checks=$((checks + 1))
    output=$("$@" 2>&1 </dev/null) || status=$?
    [ "$status" -eq "$wanted" ] || fail "$what: wanted status $wanted, got $status: $output"
}

# expect_refusal WHAT STATUS REGULAR_EXPRESSION COMMAND...: one line, "program: ...", that matches; never a mount.
expect_refusal()
{
    local what=$1 wanted=$2 pattern=$3
    shift 3
    expect_status "$what" "$wanted" "$@"
    expect_match "$what" "$pattern" "$output"
    expect_match "$what: begins with the program's name" '^beeftree(fs)?: ' "$output"
    expect_equal "$what: lines" 1 "$(wc -l <<<"$output")"
    if is_mounted "$mount_point"; then
        fail "$what: is mounted nevertheless"
        release "$mount_point"
    fi
}

# --- Mounts

is_mounted()
{
    awk -v at="$1" '{ gsub(/\\040/, " ", $5) } $5 == at { found = 1 } END { exit !found }' /proc/self/mountinfo
}

# mount_db DATABASE MOUNT_POINT [OPTION...]: without the mount nothing that follows makes sense.
mount_db()
{
    expect_ok "mount $*" "$beeftreefs" "$@" || finish
}

unmount_db()
{
    expect_ok "unmount $*" "$beeftree" unmount "$@"
}

# The daemon of a mount.
daemon_of()
{
    counter "$1" state pid
}

# kill_daemon MOUNT_POINT: with SIGKILL.
kill_daemon()
{
    local pid
    pid=$(daemon_of "$1")
    if [ "${pid:-0}" -gt 1 ]; then
        kill -9 "$pid"
    else
        fail "no daemon of $1 to kill"
    fi
}

# release MOUNT_POINT: whatever its state.
release()
{
    fusermount3 -uz -- "$1" 2>/dev/null || umount -l -- "$1" 2>/dev/null
}

# counter PATH SECTION NAME: from `beeftree status`; 0 if it is not there.
counter()
{
    "$beeftree" status "$1" | awk -v section="$2" -v name="$3" '
        /^[^ ]/ { here = $1 == section }
        here && $1 == name { sub(/^ *[^ ]+ */, ""); value = $0; found = 1 }
        END { print found ? value : 0 }'
}

# expect_clean DATABASE: what `beeftree check --data` says of a database that is not mounted.
expect_clean()
{
    expect_ok "check $1" "$beeftree" check --data "$1"
}

digest()
{
    sha256sum <"$1" | cut -d ' ' -f 1
}

# wait_until SECONDS COMMAND...: until it succeeds.
wait_until()
{
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        if [ "$SECONDS" -ge "$end" ]; then
            return 1
        fi
        sleep 0.02
    done
}

# Ended; a process that nobody has waited for yet has ended too.
is_gone()
{
    ! grep -Eqs '^State:[[:space:]]+[^ZX[:space:]]' "/proc/$1/status"
}

# attach_loop FILE: a loop device over it; prints its name. A container may lack the nodes, not the devices.
attach_loop()
{
    local number
    [ -e /dev/loop-control ] || mknod -m 600 /dev/loop-control c 10 237
    for _ in 1 2 3 4 5; do
        losetup -f --show "$1" 2>/dev/null && return 0
        # LOOP_CTL_GET_FREE; somebody else may take that one first.
        number=$(python3 -c 'import fcntl; print(fcntl.ioctl(open("/dev/loop-control"), 0x4C82))') || return 1
        [ -e "/dev/loop$number" ] || mknod -m 600 "/dev/loop$number" b 7 "$number"
    done
    losetup -f --show "$1"
}

# --- The end

clean_up()
{
    local at pid
    # A child that was forked but has not yet become what it is to be has our traps for a moment.
    [ "$BASHPID" = "$$" ] || return
    for pid in "${started_pids[@]}"; do
        kill -9 "$pid" 2>/dev/null
    done
    while read -r at; do
        release "$(printf '%b' "$at")"
    done < <(awk -v at="$scratch" 'index($5, at) == 1 { print $5 }' /proc/self/mountinfo | tac)
    rm -rf --one-file-system "$scratch"
}
trap clean_up EXIT
trap 'exit 129' HUP INT TERM

finish()
{
    printf '%d checks, %d failures\n' "$checks" "$failures"
    [ "$failures" -eq 0 ]
    exit
}
