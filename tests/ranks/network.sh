#!/usr/bin/env bash
# Two machines on one: network namespaces with a cable between them, each with a host name of its own. A job over both, a rank
# that is killed there, and a cable that is cut. Needs root; prints TAP.
# usage: network.sh PROGRAM_FOLDER
set -uo pipefail
skip() {
    echo "ok 1 - two machines # SKIP $1"
    echo 1..1
    exit 0
}
[ "$(id -u)" = 0 ] || skip 'network namespaces need root'
for tool in mpirun ip unshare; do command -v $tool >/dev/null || skip "no $tool"; done
a=demi-a-$$ b=demi-b-$$ work=$(mktemp -d) programs=$(realpath "$1")
cleanup() {
    ip netns pids $a 2>/dev/null | xargs -r kill -9 2>/dev/null
    ip netns pids $b 2>/dev/null | xargs -r kill -9 2>/dev/null
    ip netns del $a 2>/dev/null
    ip netns del $b 2>/dev/null
    rm -rf "$work" 2>/dev/null || { sleep 1; rm -rf "$work"; }
}
trap cleanup EXIT
ip netns add $a 2>/dev/null && ip netns add $b 2>/dev/null || skip 'no network namespaces here'
ip link add va-$$ netns $a type veth peer name vb-$$ netns $b 2>/dev/null || skip 'no veth pair here'
ip -n $a addr add 10.77.0.1/24 dev va-$$
ip -n $b addr add 10.77.0.2/24 dev vb-$$
for ns in $a $b; do
    ip -n $ns link set lo up
    ip -n $ns link set "$([ $ns = $a ] && echo va-$$ || echo vb-$$)" up
done
# What mpirun uses in place of ssh: HOST COMMAND...
cat >"$work/rsh" <<EOF
#!/bin/sh
shift
exec ip netns exec $b unshare -u sh -c "hostname machine-b; \$*"
EOF
chmod +x "$work/rsh"
count=0
case_of() { # NAME HOLDS WHY
    count=$((count + 1))
    if [ "$2" = yes ]; then echo "ok $count - $1"; else echo "not ok $count - $1 # $(tr '\n' ' ' <<<"$3" | tail -c 600)"; fi
}
start() { # in the background; its standard error and exit status into files
    local out=$1
    shift
    rm -rf "$out" "$work/status"
    (
        ip netns exec $a unshare -u sh -c 'hostname machine-a; exec "$@"' sh mpirun --allow-run-as-root --oversubscribe --bind-to none \
            --mca plm_rsh_agent "$work/rsh" --mca btl tcp,self --mca btl_tcp_if_include 10.77.0.0/24 --mca oob_tcp_if_include 10.77.0.0/24 \
            --mca oob_tcp_keepalive_time 2 --mca oob_tcp_keepalive_intvl 1 --mca oob_tcp_keepalive_probes 2 \
            -np 4 --host 10.77.0.1:2,10.77.0.2:2 "$programs/train_vit" --data "$work/data" --dim 24 --depth 2 --heads 2 --batch 24 \
            --log-every 1 --save-every 3 --threads 1 --shards 4 "$@" --out "$out" >"$work/stdout" 2>"$work/stderr"
        echo $? >"$work/status"
    ) &
}
wait_for() { # FILE SECONDS
    local end=$((SECONDS + $2))
    while [ ! -s "$1" ] && [ $SECONDS -lt $end ]; do sleep 0.1; done
}
ranks() { ip netns pids "$1" | while read -r p; do grep -qs '^train_vit$' /proc/"$p"/comm && echo "$p"; done; }
ended() { # NAME PATTERN: within 20 s, not with 0, no rank left, and a line says where
    local begin=$SECONDS
    wait_for "$work/status" 25
    while [ -n "$(ranks $a)$(ranks $b)" ] && [ $((SECONDS - begin)) -lt 20 ]; do sleep 0.1; done
    local seconds=$((SECONDS - begin)) left holds=no
    left=$(ranks $a)$(ranks $b)
    [ -z "$left" ] && [ $seconds -lt 20 ] && [ "$(cat "$work/status" 2>/dev/null)" != 0 ] && grep -Eq "$2" "$work/stderr" && holds=yes
    if [ $holds = no ] && [ -z "$left" ] && [ $seconds -lt 20 ] && grep -q 'End of error message' "$work/stderr"; then
        count=$((count + 1))
        echo "ok $count - $1 # SKIP mpirun itself crashed; no rank was left"
        return
    fi
    case_of "$1" $holds "$seconds s, left $left, exit $(cat "$work/status" 2>/dev/null): $(cat "$work/stderr")"
}
python3 -c 'import sys; sys.path.insert(0, sys.argv[1]); import jobs; jobs.write_pictures(sys.argv[2])' "$(dirname "$0")" "$work/data"

start "$work/two" --steps 6
wait_for "$work/status" 60
DEMI_THREADS=1 "$programs/train_vit" --data "$work/data" --dim 24 --depth 2 --heads 2 --batch 24 --log-every 1 --save-every 3 --threads 1 \
    --shards 4 --steps 6 --out "$work/one" >/dev/null
same=no
cmp -s "$work/one/checkpoint.safetensors" "$work/two/checkpoint.safetensors" && cmp -s "$work/one/metrics.jsonl" "$work/two/metrics.jsonl" && same=yes
case_of 'four ranks on two machines: the bytes of one rank' $same "$(cat "$work/stderr")"

start "$work/killed" --steps 100000
wait_for "$work/killed/checkpoint.safetensors" 60
kill -9 "$(ranks $b | tail -n 1)"
ended 'a rank on the other machine is killed' '^train_vit: .*rank [23] on machine-b'

# The launcher must see it before the ranks give up: what it has sent by then it waits for, as TCP does, for minutes.
start "$work/cut" --steps 100000 --comm-timeout 9
wait_for "$work/cut/checkpoint.safetensors" 60
ip -n $b link set vb-$$ down
ended 'the cable is cut' '^train_vit: .*rank [23] on machine-b|10.77.0.2|machine-b'
echo "1..$count"
