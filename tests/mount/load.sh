# shellcheck shell=bash
# What the tests with real loads share beyond common.sh: the daemon runs in the foreground as our child, so its pid and memory
# are known and its exit status is the end of an unmount; and the first failure ends the test, since what follows would only be
# its consequences.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
set -e

load_name=${0##*/}
top=$(cd "$here/../.." && pwd)
# shellcheck disable=SC2034
long=${BEEFTREE_TEST_LONG:-0}
daemon_log=$scratch/daemon.log
daemon_program=$beeftreefs # another build's, if the test wants that
daemon_wrapper=()          # a command before it
daemon_pid=
daemon_peak_kib=0 # the largest of all daemons that mount_stop has ended
outside_device=$(stat -c %d "$scratch")

fail()
{
    printf '%s: %s\n' "$load_name" "$*" >&2
    if [ -s "$daemon_log" ]; then
        printf '%s: last lines of the daemon:\n' "$load_name" >&2
        tail -n 30 "$daemon_log" >&2
    fi
    exit 1
}

now_ms()
{
    local now=${EPOCHREALTIME/[.,]/}
    printf '%s\n' "${now%???}"
}
test_start_ms=$(now_ms)

# note TEXT...: with the time since the start
note()
{
    local taken_ms=$(($(now_ms) - test_start_ms))
    printf '%4d.%03d s  %s\n' $((taken_ms / 1000)) $((taken_ms % 1000)) "$*"
}

is_answering()
{
    kill -0 "$daemon_pid" 2>/dev/null || fail "the daemon ended before the mount answered"
    [ "$(stat -c %d "$mount_point" 2>/dev/null || echo "$outside_device")" != "$outside_device" ]
}

# mount_start [OPTION...]: mounts $database on $mount_point and waits until it answers.
mount_start()
{
    "${daemon_wrapper[@]}" "$daemon_program" "$database" "$mount_point" -f "$@" >>"$daemon_log" 2>&1 </dev/null &
    daemon_pid=$!
    started_pids+=("$daemon_pid")
    wait_until 180 is_answering || fail "not mounted after 180 s"
}

# ended PID...: they are no longer ours to end.
ended()
{
    local pid left=()
    for pid in "${started_pids[@]}"; do
        case " $* " in
        *" $pid "*) ;;
        *) left+=("$pid") ;;
        esac
    done
    started_pids=("${left[@]}")
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
    ended "$daemon_pid"
    [ "$status" -eq 0 ] || fail "the daemon ended with status $status"
}

# mount_kill: kill -9, and the dead mount is taken away.
mount_kill()
{
    kill -KILL "$daemon_pid"
    wait "$daemon_pid" 2>/dev/null || true
    ended "$daemon_pid"
    release "$mount_point"
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
    (cd "$1" && find . \( -type d -printf '%P|%y|%m|%U|%G|%T@\n' \) -o -printf '%P|%y|%m|%U|%G|%T@|%s|%n|%l\n') |
        LC_ALL=C sort
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
