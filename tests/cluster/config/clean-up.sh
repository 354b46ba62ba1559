# Gives the machine back as it was before a real node ran on it. containerd, kubelet and kube-proxy have ended before;
# containers and their shims have not. May run twice: what is gone already is no mistake. With the argument "containers"
# it leaves what the apiserver still needs to end in order.
#
# The lines above this one say where: FOLDER, RUN, ADDRESS, NETWORK, PODS, CREATED (folders that were not there before)
# and SYSCTLS (settings as they were, name=value).

cgroups() { find /sys/fs/cgroup -depth -type d -path '*/kubepods*' 2>/dev/null; }
# Processes in the cgroups of pods, and shims, which carry the address of our containerd among their arguments. The
# pattern does not match itself among the arguments of grep.
processes() {
  cgroups | while IFS= read -r group; do cat "$group/cgroup.procs" 2>/dev/null; done
  grep -lzx -- "$RUN/[c]ontainerd\.sock" /proc/[0-9]*/cmdline 2>/dev/null | cut -d/ -f3
}
mounts() {
  while read -r _ _ _ _ at _; do
    at=$(printf '%b' "$at") # a space is written as \040 there
    case "$at" in "$FOLDER"/* | "$RUN"/*) printf '%s\n' "$at" ;; esac
  done < /proc/self/mountinfo | sort -r
}
# Tries a step again for up to 10 seconds, since the kernel takes things back in its own time.
until_none() {
  tries=0
  while [ -n "$($1)" ]; do
    [ $tries -lt 100 ] || { echo "left on the machine ($1): $($1 | head -n 3 | tr '\n' ' ')"; failed=1; return; }
    tries=$((tries + 1))
    $2
    sleep 0.1
  done
}
kill_processes() { kill -KILL $(processes) 2>/dev/null; }
unmount() { mounts | while IFS= read -r at; do umount "$at" 2>/dev/null || umount -l "$at" 2>/dev/null; done; }
remove_cgroups() { cgroups | while IFS= read -r group; do rmdir "$group" 2>/dev/null; done; }
tables() { nft list tables 2>/dev/null | grep ' kube-proxy$'; }
delete_tables() { for family in ip ip6; do nft delete table "$family" kube-proxy 2>/dev/null; done; }
addresses() { ip -o -4 address show dev lo 2>/dev/null | grep -F " $ADDRESS/32 "; }
delete_address() { ip address del "$ADDRESS/32" dev lo 2>/dev/null; }
routes() { ip -4 route show root "$PODS" 2>/dev/null; }

failed=0
until_none processes kill_processes
until_none mounts unmount
until_none cgroups remove_cgroups
[ "$1" != containers ] || exit $failed
until_none tables delete_tables
until_none addresses delete_address
until_none routes : # they go with the pods' network namespaces
rm -rf -- /var/lib/kubelet/device-plugins
rm -f -- /var/lib/cni/results/"$NETWORK"-*
for link in /var/log/containers/*; do
  case "$(readlink "$link")" in "$FOLDER"/*) rm -f -- "$link" ;; esac
done
for folder in $CREATED; do rmdir "$folder" 2>/dev/null; done
for setting in $SYSCTLS; do echo "${setting#*=}" > "/proc/sys/${setting%%=*}" || failed=1; done
# Last, and never through a mount: this folder is also the machine's one place for a real node.
[ $failed = 1 ] || rm -rf -- "$RUN"
exit $failed
