# shellcheck shell=bash disable=SC2154,SC2317  # read by tests/conformance/run, which sets the variables
# xfstests: its own harness, `check`, one test at a time, with a configuration of ours. In the working directory of a
# target:
#
#   config                 for the harness: HOST_OPTIONS
#   df                     df that calls every FUSE filesystem "fuse", as the harness does
#   mount                  mount that understands what several tests say: "-t fuse" without the rest of the type; and
#                          starts passthrough_ll, which has no helper
#   test.img, scratch.img  sparse, $xfstests_size each
#   test, scratch          mount points
#   host                   beeftreefs: test.img mounted, which bounds the database of TEST_DEV
#   below                  passthrough_ll: test.img and scratch.img mounted
#   results                what the harness itself writes: NNN.full, NNN.out.bad
#
# beeftreefs: TEST_DEV is a file, host/test.bt; SCRATCH_DEV a loop device over scratch.img with a database on it, since
# several tests want a device. The harness cannot make filesystems of type fuse and empties them instead.

xfstests_size=10G
xfstests_limit_s=600 # for one test
xfstests_users=(fsgqa fsgqa2 123456-fsgqa)
xfstests_programs=(xfs_io setfattr setfacl attr bc fio perl killall losetup mkfs.ext4 setpriv)
xfstests_checking=(timeout -k 10 "$xfstests_limit_s")

xfstests_is_here()
{
    [ -x "$suite_dir/check" ] && [ -s "$suite_dir/tests/generic/group.list" ] && [ -x "$suite_dir/src/nsexec" ]
}

# Other people's namespaces would keep what is unmounted here, and its devices in use.
xfstests_is_apart()
{
    return 0
}

xfstests_list()
{
    awk '!/^#/ && / auto / && / quick / { print "generic/" $1 }' <(sed 's/$/ /' "$suite_dir/tests/generic/group.list")
}

# Target: KIND:DIRECTORY[:OPTION,...]
xfstests_kind()
{
    printf '%s\n' "${1%%:*}"
}

xfstests_directory()
{
    local rest=${1#*:}
    printf '%s\n' "${rest%%:*}"
}

xfstests_options()
{
    local rest=${1#*:}
    case "$rest" in
    *:*) printf ',%s\n' "${rest#*:}" ;;
    esac
}

xfstests_name()
{
    printf '%s%s\n' "$(xfstests_kind "$1")" "$(xfstests_options "$1")"
}

xfstests_check_target()
{
    local name directory kind
    kind=$(xfstests_kind "$1")
    directory=$(xfstests_directory "$1")
    for name in "${xfstests_users[@]}"; do
        id "$name" >/dev/null 2>&1 || no_suite "there is no user $name (useradd --badname -m $name)"
    done
    for name in "${xfstests_programs[@]}"; do
        command -v "$name" >/dev/null || no_suite "the program $name is missing"
    done
    case "$kind" in
    beeftreefs)
        [ -x /sbin/mount.fuse.beeftreefs ] || no_suite "/sbin/mount.fuse.beeftreefs is missing (cmake --install)"
        beeftree=$(find_program beeftree) || no_suite "beeftree is neither built nor installed"
        ;;
    ext4) ;;
    passthrough_ll) command -v passthrough_ll >/dev/null || no_suite "libfuse's example passthrough_ll is not in PATH" ;;
    *) say_error "$1: wanted is beeftreefs:DIRECTORY, ext4:DIRECTORY or passthrough_ll:DIRECTORY"; exit 2 ;;
    esac
    if [ ! -d "$directory" ] || [ "$directory" != "$(realpath "$directory")" ]; then
        say_error "$directory: is not the absolute path of a directory, links resolved"
        exit 2
    fi
}

# loop_of IMAGE: its loop device, made if there is none. Files have the sector size that disks have.
loop_of()
{
    local device
    [ -e "$1" ] || truncate -s "$xfstests_size" "$1"
    device=$(losetup -n -O NAME -j "$1" | head -n 1)
    printf '%s\n' "${device:-$(losetup -f --show "$1")}"
}

write_config()
{
    cat >"$directory/df" <<'SCRIPT'
#!/bin/sh
df -T -P "$@" | sed 's/ fuse\.[^ ]*/ fuse/'
SCRIPT
    cat >"$directory/mount" <<SCRIPT
#!/bin/bash
arguments=("\$@")
type=
for ((index = 1; index < \${#arguments[@]}; index++)); do
    if [ "\${arguments[index - 1]} \${arguments[index]}" = "-t fuse" ]; then
        arguments[index]=fuse$2
    fi
    [ "\${arguments[index - 1]}" != -t ] || type=\${arguments[index]}
done
if [ "\$type" = fuse.passthrough_ll ]; then
    ulimit -n 1048576 2>/dev/null
    exec passthrough_ll "-ofsname=\${arguments[-2]}" "\${arguments[-1]}" "\${arguments[@]:2:\${#arguments[@]} - 4}"
fi
exec mount "\${arguments[@]}"
SCRIPT
    chmod 755 "$directory/df" "$directory/mount"
    cat >"$directory/config" <<TEXT
export FSTYP=$1 FUSE_SUBTYP=$2
export TEST_DEV=$3 TEST_DIR=$directory/test
export SCRATCH_DEV=$4 SCRATCH_MNT=$directory/scratch
export TEST_FS_MOUNT_OPTS="-o $5" MOUNT_OPTIONS="-o $6"
export DF_PROG=$directory/df MOUNT_PROG=$directory/mount
export RESULT_BASE=$directory/results
TEXT
}

# mount_image NAME DIRECTORY: ext4 in NAME.img, made if there is none
mount_image()
{
    mkdir -p "$2"
    if ! mountpoint -q "$2"; then
        [ -e "$directory/$1.img" ] || { truncate -s "$xfstests_size" "$directory/$1.img" &&
            mkfs.ext4 -q -F "$directory/$1.img"; }
        mount -o loop "$directory/$1.img" "$2" || exit 1
    fi
}

begin_beeftreefs()
{
    local scratch
    mount_image test "$directory/host"
    scratch=$(loop_of "$directory/scratch.img")
    "$beeftree" check "$scratch" >/dev/null 2>&1 || "$beeftree" mkfs --force "$scratch" || exit 1
    write_config fuse .beeftreefs "$directory/host/test.bt" "$scratch" "acl,allow_other$1" "acl,allow_other$1"
}

begin_ext4()
{
    local device
    device=$(loop_of "$directory/test.img")
    blkid "$device" >/dev/null || mkfs.ext4 -q "$device"
    write_config ext4 "" "$device" "$(loop_of "$directory/scratch.img")" "acl,user_xattr$1" "acl,user_xattr$1"
}

begin_passthrough_ll()
{
    local words=allow_other,default_permissions,dev,suid$1
    mount_image test "$directory/below/test"
    mount_image scratch "$directory/below/scratch"
    write_config fuse .passthrough_ll non1 non2 "source=$directory/below/test,$words" \
        "source=$directory/below/scratch,$words"
}

xfstests_begin()
{
    local directory
    directory=$(xfstests_directory "$1")
    mkdir -p "$directory/test" "$directory/scratch" "$directory/results"
    "begin_$(xfstests_kind "$1")" "$(xfstests_options "$1")"
}

# What a test left mounted goes.
release_mounts()
{
    local at
    while read -r at; do
        umount -- "$at" 2>/dev/null || umount -l -- "$at"
    done < <(awk -v at="$directory" 'index($5, at "/test") == 1 || index($5, at "/scratch") == 1 { print $5 }' \
        /proc/self/mountinfo | tac)
}

# check_databases TEST: a clean database goes on to the next test; a damaged one is put aside. Some tests overwrite the
# scratch device and say that it is not to be checked.
check_databases()
{
    local database scratch
    scratch=$(loop_of "$directory/scratch.img")
    for database in "$directory/host/test.bt" "$scratch"; do
        "$beeftree" check --data "$database" >"$directory/check" 2>&1 && continue
        if [ "$database" = "$scratch" ] && grep -q _require_scratch_nocheck "$suite_dir/tests/$1"; then
            "$beeftree" mkfs --force "$database"
            continue
        fi
        printf 'CHECK FAILED: %s\n' "$database"
        cat "$directory/check"
        dd if="$database" of="$directory/damaged-${1##*/}-${database##*/}" bs=1M conv=sparse status=none
        "$beeftree" mkfs --force "$database"
    done
}

# xfstests_run TEST TARGET
xfstests_run()
{
    local directory kind status=0
    directory=$(xfstests_directory "$2")
    kind=$(xfstests_kind "$2")
    (cd "$suite_dir" && HOST_OPTIONS=$directory/config "${xfstests_checking[@]}" ./check -d "$1" 2>&1 </dev/null) ||
        status=$?
    release_mounts
    printf 'STATUS %d\n' "$status"
    if [ "$kind" = beeftreefs ]; then
        check_databases "$1"
    fi
}

xfstests_judge()
{
    awk '
        /^CHECK FAILED/ { damaged = 1 }
        /^STATUS / { status = $2; has_status = 1 }
        /\[not run\]/ && reason == "" { reason = $0; sub(/.*\[not run\] */, "", reason) }
        END {
            if (damaged) print "failed 1 (the database is damaged)"
            else if (!has_status) print "failed 1 (it broke off)"
            else if (status == 124 || status == 137) print "failed 1 (too long)"
            else if (status != 0) print "failed 1"
            else if (reason != "") print "absent " reason
            else print "passed 1"
        }'
}

xfstests_end()
{
    local directory image at
    directory=$(xfstests_directory "$1")
    release_mounts
    for at in "$directory/below/test" "$directory/below/scratch"; do
        mountpoint -q "$at" && umount "$at"
    done
    # The daemons have ended when their databases can be used.
    if mountpoint -q "$directory/host"; then
        "$beeftree" check "$directory/host/test.bt" >/dev/null 2>&1
        umount "$directory/host"
    fi
    for image in test scratch; do
        losetup -n -O NAME -j "$directory/$image.img" | xargs -r losetup -d
    done
}
