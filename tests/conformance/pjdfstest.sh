# shellcheck shell=bash disable=SC2154,SC2317  # read by tests/conformance/run, which sets the variables
# pjdfstest: shell scripts that print TAP, run in a new directory of a mount that is there.

pjdfstest_is_here()
{
    [ -x "$suite_dir/pjdfstest" ] && [ -d "$suite_dir/tests" ]
}

pjdfstest_is_apart()
{
    return 1
}

pjdfstest_list()
{
    (cd "$suite_dir/tests" && find . -name '*.t' | sed 's|^\./||' | sort)
}

pjdfstest_check_target()
{
    if ! mountpoint -q "$1"; then
        say_error "$1: is no mount point"
        exit 2
    fi
}

# What the table calls a mount: its type and its place.
pjdfstest_name()
{
    printf '%s%s\n' "$(findmnt -n -o FSTYPE --target "$1" | head -n 1)" "$(realpath "$1" | tr / -)"
}

pjdfstest_begin()
{
    :
}

pjdfstest_end()
{
    :
}

# pjdfstest_run TEST MOUNT
pjdfstest_run()
{
    local directory
    directory=$(mktemp -d "$2/conformance-XXXXXX") || exit 1
    chmod 755 "$directory"
    (cd "$directory" && sh "$suite_dir/tests/$1" 2>&1 </dev/null)
    rm -rf --one-file-system "$directory"
}

pjdfstest_judge()
{
    awk '
        /^1\.\.[0-9]+/ { plan = substr($1, 4) + 0; has_plan = 1 }
        /^ok / { passed++ }
        /^not ok/ { if (/# TOD[O]/) passed++; else failed++ }
        END {
            if (!has_plan) print "failed 1 (no plan: it broke off)"
            else if (failed > 0) print "failed " failed
            else if (passed + failed != plan) print "failed " (plan - passed) " (it broke off)"
            else if (plan == 1 && passed == 1) print "absent 1"
            else print "passed " passed
        }'
}
