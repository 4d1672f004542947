# Ends everything that belongs to one slot and removes its traces.
# $1 is the slot's number, $2 its directory. Runs under the slot's lock.
#
# Whatever a cluster starts is in its network namespace or in its control group, so these two say
# what to kill; process numbers in files could have been taken by somebody else.
name=kubewise-$1
dir=$2
[ -e "$dir/kept" ] && exit 0

groups() {
    for group in "/sys/fs/cgroup/$name" /sys/fs/cgroup/*/"$name"; do
        [ -d "$group" ] && echo "$group"
    done
}

members() {
    ip netns pids "$name" 2>/dev/null
    for group in $(groups); do
        find "$group" -name cgroup.procs -exec cat {} + 2>/dev/null
    done
}

# Ten seconds at most: a process that outlives SIGKILL that long is stuck in the kernel.
for _ in $(seq 100); do
    pids=$(members | sort -u)
    [ -n "$pids" ] || break
    kill -KILL $pids 2>/dev/null
    sleep 0.1
done

if [ -n "${KUBEWISE_TESTBED_LOGS-}" ] && [ -d "$dir/logs" ]; then
    mkdir -p "$KUBEWISE_TESTBED_LOGS" && cp -r "$dir/logs" "$KUBEWISE_TESTBED_LOGS/$name-$$"
fi

# Deepest first; lazily, since a dead container's mount may be busy for a moment.
awk -v dir="$dir/" 'index($2, dir) == 1 { print $2 }' /proc/mounts | sort -r | while read -r mount; do
    umount -l "$mount"
done

# What containerd, CNI and the kubelet keep outside the directories that they are given.
sed -n 's|^unix://||p' "$dir"/containerd/state/io.containerd.runtime.v2.task/*/*/address 2>/dev/null | xargs -r rm -f
for sandbox in "$dir"/containerd/root/io.containerd.grpc.v1.cri/sandboxes/*; do
    rm -f "/var/lib/cni/results/"*-"${sandbox##*/}"-*
done
find /var/log/containers -lname "$dir/*" -delete 2>/dev/null

ip link delete "$name" 2>/dev/null
ip netns delete "$name" 2>/dev/null
for group in $(groups); do
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null
done
rm -rf --one-file-system "$dir"
