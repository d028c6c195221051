# shellcheck shell=bash
# What an engine that was killed leaves behind, and that keeps the next one from
# starting: a process id file whose number may belong to another program by now,
# so that dockerd refuses to start, or waits for a containerd that is not there.
#
# Needs say.sh and engine.sh.

# stale_pid_file FILE NAME [PROC]: removes FILE unless its process is a NAME.
stale_pid_file() {
    local file=$1 name=$2 proc=${3:-/proc} pid
    [[ -e $file ]] || return 0
    # The engine writes no newline at the end.
    IFS= read -r pid <"$file" || [[ -n $pid ]] || pid='(none)'
    if ! engine_processes "$name" "$proc" | grep -qxF -e "$pid"; then
        say "$file names process $pid, which is no $name any more: removed"
        rm -f "$file"
    fi
}

# stale_socket SOCKET NAME [PROC]: removes SOCKET when no NAME is alive. One
# that is alive may have other users: its socket is left to it.
stale_socket() {
    local socket=$1 name=$2 proc=${3:-/proc}
    if [[ -S $socket && -z $(engine_processes "$name" "$proc") ]]; then
        say "$socket is left over from a $name that was killed: removed"
        rm -f "$socket"
    fi
}
