# Waits for the end of the process that started it, then ends that process's servers.
# $1: the folder that holds everything; $2: what the environment of each server contains.

trap '' HUP INT QUIT TERM TSTP
echo ready
exec >/dev/null

# Nothing is ever written: this returns when the last write end of the pipe is gone.
while read -r _; do :; done

# From here on no server can register; one that is just starting finds no folder and ends by itself.
mv "$1/running" "$1/ended"

end_all() {
    for entry in "$1/ended"/*; do
        kill -s KILL -- "-${entry##*/}"
    done
    for environment in $(grep -lsF -- "$2" /proc/[0-9]*/environ); do
        process=${environment#/proc/}
        kill -s KILL "${process%/environ}"
    done
} 2>/dev/null

# Twice at least: a process may have been forking while the first pass looked. More often while the folder cannot be
# removed, because something that is about to die still writes into it.
end_all "$1" "$2"
tries=0
while [ "$tries" -lt 100 ]; do
    end_all "$1" "$2"
    rm -rf -- "$1" 2>/dev/null
    if [ ! -e "$1" ] && [ -z "$(grep -lsF -- "$2" /proc/[0-9]*/environ)" ]; then
        exit 0
    fi
    tries=$((tries + 1))
    sleep 0.05
done
