#!/bin/sh
# PostgreSQL's programs, found in Debian's place, and run as nobody where the caller is root, whom they refuse.
# Usage: postgres.sh init | serve PORT | load PORT | work PORT | stop
set -eu
bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin | sort -V | tail -n 1)
unprivileged=
if [ "$(id -u)" -eq 0 ]; then
    unprivileged='setpriv --reuid=65534 --regid=65534 --clear-groups'
fi
client="-h 127.0.0.1 -p ${2:-0} -U lab"

case $1 in
    init)
        mkdir data
        [ -z "$unprivileged" ] || chown 65534:65534 data
        $unprivileged "$bin/initdb" -D data -U lab -A trust --no-sync --locale=C > /dev/null
        ;;
    serve)
        exec $unprivileged "$bin/postgres" -D data -p "$2" -h 127.0.0.1 -k '' -c shared_buffers=16MB -c fsync=off \
            -c autovacuum=off -c max_parallel_workers=0 -c jit=off -c work_mem=8MB -c logging_collector=off
        ;;
    load)
        tries=0
        until "$bin/pg_isready" -q $client -d postgres || [ $tries -ge 200 ]; do
            tries=$((tries + 1))
            sleep 0.05
        done
        "$bin/pgbench" $client -i -q -s 1 postgres
        "$bin/pgbench" $client -n -c 4 -j 1 -t 400 --random-seed=7 postgres
        ;;
    work)
        exec "$bin/psql" $client -X -q -A -t -f postgres.sql postgres
        ;;
    stop)
        kill -INT "$(head -n 1 data/postmaster.pid)"
        ;;
esac
