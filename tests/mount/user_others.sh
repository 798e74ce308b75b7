# shellcheck shell=bash
# user_others.sh SCRATCH USER, as root in the namespace that test-user makes: USER mounts with allow_other, and the kernel
# checks what others may by owner, mode and ACL.
set -u
scratch=$1
owner=(setpriv --reuid="$2" --regid="$2" --clear-groups)
other=(setpriv --reuid=1000 --regid=1000 --clear-groups)
at=$scratch/shared/mnt
failed=0

# may yes|no WHO... -- COMMAND...
may()
{
    local wanted=$1 who=() output status=yes
    shift
    while [ "$1" != -- ]; do
        who+=("$1")
        shift
    done
    shift
    output=$("${who[@]}" "$@" 2>&1) || status=no
    if [ "$status" != "$wanted" ] || { [ "$status" = no ] && [[ $output != *ermi* ]]; }; then
        printf '%s: %s, wanted %s: %s\n' "$*" "$status" "$wanted" "$output"
        failed=1
    fi
}

cd "$scratch/shared" && "${owner[@]}" mkdir mnt || exit 1
may yes "${owner[@]}" -- "$scratch/programs/beeftreefs" "$scratch/shared/db.bt" "$at" -o allow_other,acl
may yes "${owner[@]}" -- sh -c 'cd "$1" && umask 022 && echo text >open && echo text >closed && echo text >named &&
    cp "$(command -v id)" id && chmod 600 closed named && chmod 4755 id && setfacl -m u:1000:r named &&
    mkdir -m 1777 sticky && mkdir -m 2775 group && touch sticky/owners' - "$at"
may yes "${other[@]}" -- cat "$at/open" "$at/named"
may no "${other[@]}" -- cat "$at/closed"
may no "${other[@]}" -- touch "$at/open"
may no "${other[@]}" -- touch "$at/new" "$at/group/new"
may no "${other[@]}" -- rm -f "$at/sticky/owners"
may no "${other[@]}" -- chmod 777 "$at/open"
may yes "${other[@]}" -- touch "$at/sticky/others"
may no "${owner[@]}" -- touch -d @5 "$at/sticky/others"
[ "$(stat -c %u "$at/sticky/others")" = 1000 ] || { echo "made by others: $(stat -c %u "$at/sticky/others")"; failed=1; }
# nosuid: the program runs as whoever calls it.
[ "$("${other[@]}" "$at/id" -u)" = 1000 ] || { echo "set-id counts"; failed=1; }
# The machine's root stays root.
may yes env -- cat "$at/closed"
may yes env -- chown 1000 "$at/closed"
may yes "${other[@]}" -- cat "$at/closed"
if "${other[@]}" "$scratch/programs/beeftree" unmount "$at" 2>/dev/null || ! mountpoint -q "$at"; then
    echo "somebody else could unmount it"
    failed=1
fi
may yes "${owner[@]}" -- "$scratch/programs/beeftree" unmount "$at"
may yes "${owner[@]}" -- "$scratch/programs/beeftree" check "$scratch/shared/db.bt"
exit "$failed"
