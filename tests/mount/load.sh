# What the tests with real loads share; read with `source`, from bash. The daemon runs in the foreground as our child: its pid
# is known, and its exit is the end of an unmount. Sets `scratch`, a directory of this test, and cleans up at exit.

load_name=${0##*/}
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BEEFTREE_BUILD=${BEEFTREE_BUILD:-$top/build/release}
long=${BEEFTREE_TEST_LONG:-0}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/$load_name-XXXXXX")
database=$scratch/db.bt
mount_point=$scratch/mnt
daemon_log=$scratch/daemon.log
daemon_pid=
daemon_build=$BEEFTREE_BUILD # whose beeftreefs is mounted
daemon_peak_kib=0            # the largest VmHWM of all daemons that mount_stop has ended
jobs_to_end=()               # pids of our own background jobs
mkdir "$mount_point"

fail()
{
    printf '%s: %s\n' "$load_name" "$*" >&2
    if [ -s "$daemon_log" ]; then
        printf '%s: last lines of the daemon:\n' "$load_name" >&2
        tail -n 30 "$daemon_log" >&2
    fi
    exit 1
}

note()
{
    printf '%6.1f s  %s\n' "$(elapsed "$test_start_ms")" "$*"
}

now_ms()
{
    local now=${EPOCHREALTIME/[.,]/}
    printf '%s\n' "${now%???}"
}
test_start_ms=$(now_ms)

# elapsed START_MS: seconds with a fraction
elapsed()
{
    local taken=$(($(now_ms) - $1))
    printf '%d.%03d\n' $((taken / 1000)) $((taken % 1000))
}

load_cleanup()
{
    local pid
    for pid in "${jobs_to_end[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    if awk -v at="$mount_point" '$2 == at { found = 1 } END { exit !found }' /proc/self/mounts; then
        umount -l "$mount_point" 2>/dev/null || fusermount3 -uz "$mount_point" || true
    fi
    if [ -n "$daemon_pid" ]; then
        kill "$daemon_pid" 2>/dev/null || true
        wait "$daemon_pid" 2>/dev/null || true
    fi
    rm -rf "$scratch"
}
trap load_cleanup EXIT
trap 'exit 1' INT TERM HUP

# is_answering: something other than the directory underneath answers at the mount point.
is_answering()
{
    [ "$(stat -c %d "$mount_point" 2>/dev/null || echo none)" != "$scratch_device" ] &&
        stat "$mount_point/." >/dev/null 2>&1
}
scratch_device=$(stat -c %d "$scratch")

# mount_start [OPTION...]: mounts the database and waits until it answers. load_wrapper: a command before the daemon's.
load_wrapper=()
mount_start()
{
    local deadline_ms=$(($(now_ms) + 60000))
    "${load_wrapper[@]}" "$daemon_build/beeftreefs" "$database" "$mount_point" -f "$@" >>"$daemon_log" 2>&1 </dev/null &
    daemon_pid=$!
    until is_answering; do
        kill -0 "$daemon_pid" 2>/dev/null || fail "the daemon ended before the mount answered"
        [ "$(now_ms)" -lt "$deadline_ms" ] || fail "not mounted after 60 s"
        sleep 0.01
    done
}

# daemon_peak: VmHWM of the running daemon, in KiB.
daemon_peak()
{
    awk '$1 == "VmHWM:" { print $2 }' "/proc/$daemon_pid/status"
}

# mount_stop: unmounts, waits until the daemon has finished; it has to end well.
mount_stop()
{
    local status=0 peak_kib
    peak_kib=$(daemon_peak)
    [ "$peak_kib" -le "$daemon_peak_kib" ] || daemon_peak_kib=$peak_kib
    umount "$mount_point" || fail "cannot unmount"
    wait "$daemon_pid" || status=$?
    daemon_pid=
    [ "$status" -eq 0 ] || fail "the daemon ended with status $status"
}

# mount_kill: kill -9, and the dead mount is taken away.
mount_kill()
{
    kill -KILL "$daemon_pid"
    wait "$daemon_pid" 2>/dev/null || true
    daemon_pid=
    umount -l "$mount_point"
}

# check_clean [OPTION...]: beeftree check finds nothing in the unmounted database.
check_clean()
{
    "$BEEFTREE_BUILD/beeftree" check "$@" "$database" >"$scratch/check.log" 2>&1 || {
        local status=$?
        cat "$scratch/check.log" >&2
        fail "beeftree check: status $status"
    }
}

# compare_contents A B: names, types and contents.
compare_contents()
{
    diff -r --no-dereference "$1" "$2" >"$scratch/diff.log" 2>&1 || {
        head -n 20 "$scratch/diff.log" >&2
        fail "$1 and $2 differ"
    }
}

# list_attributes DIRECTORY: everything that cp -a keeps, one line for each entry. What a directory says about size and links
# differs between filesystems.
list_attributes()
{
    (cd "$1" && find . \( -type d -printf '%P|%y|%m|%U|%G|%T@\n' \) -o -printf '%P|%y|%m|%U|%G|%T@|%s|%n|%l\n') | LC_ALL=C sort
}

compare_attributes()
{
    list_attributes "$1" >"$scratch/attributes-a"
    list_attributes "$2" >"$scratch/attributes-b"
    diff "$scratch/attributes-a" "$scratch/attributes-b" >"$scratch/diff.log" || {
        head -n 20 "$scratch/diff.log" >&2
        fail "attributes of $1 and $2 differ"
    }
}
