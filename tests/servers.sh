#!/usr/bin/env bash
# Private database servers for the tests: Oracle MySQL, MariaDB, PostgreSQL, a MongoDB-compatible server, a test double of
# SQL Server (see tests/tds) and Redis, on 127.0.0.1 only.
#
#   tests/servers.sh up        install what is missing, start what is not running, wait until all answer
#   tests/servers.sh env       print their addresses as shell exports:  eval "$(tests/servers.sh env)"
#   tests/servers.sh status    one line per server
#   tests/servers.sh down      end them and remove their data (the downloaded MySQL is kept)
#   tests/servers.sh install PACKAGE..   install Debian packages; what `up`, the Makefile and the oracle use
#
# A server whose SYNCLINE_TEST_*_URL is already set is yours: it is neither started nor touched.
# Everything lives in SYNCLINE_SERVERS_DIR (for root, PostgreSQL's data in a folder beside it, because PostgreSQL does
# not run as root); nothing is shared with servers of the machine.
set -euo pipefail

DIR=${SYNCLINE_SERVERS_DIR:-/tmp/syncline-servers-$UID}
MYSQL_PORT=${SYNCLINE_MYSQL_PORT:-20306}
MARIADB_PORT=${SYNCLINE_MARIADB_PORT:-20307}
POSTGRES_PORT=${SYNCLINE_POSTGRES_PORT:-20432}
MONGODB_PORT=${SYNCLINE_MONGODB_PORT:-20017}
MSSQL_PORT=${SYNCLINE_MSSQL_PORT:-20433}
REDIS_PORT=${SYNCLINE_REDIS_PORT:-20379}
READY_SECONDS=${SYNCLINE_SERVERS_READY_SECONDS:-120}

# Not secrets: they guard throw-away servers that only this machine can reach. Tests need them to exercise log-in.
ROOT_PASSWORD=syncline-root
USER_PASSWORD=syncline-user

# SecantusDB speaks MongoDB's protocol as a replica set of one, with real transactions; MongoDB itself is in no Debian
# suite. It is GPL: run as a program, never linked.
SECANTUS_VERSION=0.5.3-beta.196

# The test double of SQL Server, which is in no public repository of packages either.
TDS=$(dirname "$(readlink -f "$0")")/tds/run
TOOLS=$(readlink -f "$(dirname "$(readlink -f "$0")")/..")/.tools/bin

SERVERS=(redis mariadb postgres mysql mongodb mssql)

# What both MySQL and MariaDB run with. Sizes are those of a small real server, so that benches mean something;
# a commit is not flushed at once (=2), because no test cuts the power.
SQL_OPTIONS=(
    --bind-address=127.0.0.1 --skip-name-resolve
    --max-connections=300 --local-infile=ON
    --innodb-buffer-pool-size=512M --innodb-flush-log-at-trx-commit=2
    --ssl-ca="$DIR/tls/ca.pem" --ssl-cert="$DIR/tls/server.pem" --ssl-key="$DIR/tls/server.key"
)

say() { printf '%s\n' "$*"; }
note() { printf 'servers: %s\n' "$*" >&2; }
die() { note "$*"; exit 1; }

main() {
    local command=${1:-help}
    [ $# -eq 0 ] || shift
    case $command in
        up) locked up ;;
        down) locked down ;;
        env) print_env ;;
        status) print_status ;;
        install) install_packages "$@" ;;
        *) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0"; [ "$command" = help ] ;;
    esac
}

# --- the commands ------------------------------------------------------------------------------------------------

up() {
    if own redis; then install_redis; start redis; fi
    install_faketime
    install_curl
    install_promtool
    if own mariadb || own mysql || own postgres || own mssql; then make_certificates; fi
    if own mariadb; then install_mariadb; start mariadb; fi
    if own postgres; then install_postgres; start postgres; fi
    if own mysql; then
        if install_mysql; then start mysql; else mysql_notice; fi
    fi
    if own mssql; then "$TDS" install; start mssql; fi
    if own mongodb; then install_mongodb; start mongodb; fi
    install_network_tools
    # All are started before the first is waited for: they come up side by side.
    local server
    for server in "${SERVERS[@]}"; do
        if own "$server" && running "$server"; then wait_ready "$server"; fi
    done
    print_status
}

down() {
    local server
    for server in "${SERVERS[@]}"; do
        stop "$server"
        rm -rf "${DIR:?}/$server" "$(data "$server")"
    done
    say "servers: down, data removed"
}

# Prints only what is there, so a missing MySQL leaves its variable unset and the suite runs on MariaDB alone.
print_env() {
    local server url
    for server in mysql mariadb postgres mongodb mssql redis; do
        if own "$server"; then
            running "$server" || { missing_in_env "$server"; continue; }
            url=$(own_url "$server")
        else
            url=$(given_url "$server")
        fi
        printf 'export %s=%q\n' "$(variable "$server")" "$url"
    done
    # `mysqldump` for the benches: MySQL's own, because the machine may have none.
    if [ -d "$DIR/cache/mysql/bin" ]; then printf 'export SYNCLINE_TEST_MYSQL_BIN=%q\n' "$DIR/cache/mysql/bin"; fi
    # For tests that need a server of their own, to kill it or to speak TLS with it.
    if [ -x "$(mongodb_bin)" ]; then printf 'export SYNCLINE_TEST_MONGODB_BIN=%q\n' "$(mongodb_bin)"; fi
    printf 'export SYNCLINE_TEST_MSSQL_DOUBLE=%q\n' "$TDS"
    # For tests that verify certificates; a server of yours has its own authority, so a given one wins here too.
    local authority=${SYNCLINE_TEST_TLS_CA:-$DIR/tls/ca.pem}
    if [ -f "$authority" ]; then printf 'export SYNCLINE_TEST_TLS_CA=%q\n' "$authority"; fi
}

missing_in_env() {
    if [ "$1" = mysql ] && { running mariadb || ! own mariadb; }; then
        note "MySQL is not running: tests use MariaDB only"
        # Tests fail without a server unless they are told that this one cannot be had.
        printf 'export SYNCLINE_TEST_ALLOW_NO_MYSQL=1\n'
        return
    fi
    die "$1 is not running: start it with tests/servers.sh up"
}

print_status() {
    local server state
    for server in "${SERVERS[@]}"; do
        if ! own "$server"; then
            state="yours, from $(variable "$server")"
        elif running "$server"; then
            state="$(version "$server"), 127.0.0.1:$(port "$server"), pid $(cat "$DIR/$server/pid")"
        else
            state="not running"
        fi
        printf '%-8s %s\n' "$server" "$state"
    done
}

# --- what is known of each server --------------------------------------------------------------------------------

variable() { case $1 in mysql) say SYNCLINE_TEST_MYSQL_URL ;; mariadb) say SYNCLINE_TEST_MARIADB_URL ;; postgres) say SYNCLINE_TEST_POSTGRES_URL ;; mongodb) say SYNCLINE_TEST_MONGODB_URL ;; mssql) say SYNCLINE_TEST_MSSQL_URL ;; redis) say SYNCLINE_TEST_REDIS_URL ;; esac; }
port() { case $1 in mysql) say "$MYSQL_PORT" ;; mariadb) say "$MARIADB_PORT" ;; postgres) say "$POSTGRES_PORT" ;; mongodb) say "$MONGODB_PORT" ;; mssql) say "$MSSQL_PORT" ;; redis) say "$REDIS_PORT" ;; esac; }
given_url() { local name; name=$(variable "$1"); say "${!name:-}"; }

own_url() {
    case $1 in
        redis) say "redis://127.0.0.1:$REDIS_PORT/" ;;
        postgres) say "postgres://postgres:$ROOT_PASSWORD@127.0.0.1:$POSTGRES_PORT/" ;;
        mongodb) say "mongodb://127.0.0.1:$MONGODB_PORT/" ;;
        mssql) say "sqlserver://sa:$ROOT_PASSWORD@127.0.0.1:$MSSQL_PORT/" ;;
        *) say "mysql://root:$ROOT_PASSWORD@127.0.0.1:$(port "$1")/" ;;
    esac
}

# Ours to start, unless the user named another one. (After eval of `env` the variable names ours: still ours.)
own() { local given; given=$(given_url "$1"); [ -z "$given" ] || [ "$given" = "$(own_url "$1")" ]; }

# Where a server works. PostgreSQL refuses root, and its own user cannot enter a folder of root's.
data() { if [ "$1" = postgres ] && [ "$UID" -eq 0 ]; then say "$DIR-postgres"; else say "$DIR/$1/data"; fi; }

# A process id alone may have been given to someone else since; a server of ours works inside its data folder.
running() {
    local pid
    pid=$(cat "$DIR/$1/pid" 2>/dev/null) || return 1
    [ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "$(realpath -m "$(data "$1")")" ]
}

version() {
    case $1 in
        redis) redis_cli info server | sed -n 's/^redis_version:\([0-9.]*\).*/Redis \1/p' ;;
        mariadb) query mariadb 'SELECT CONCAT("MariaDB ", VERSION())' ;;
        postgres) query postgres "SELECT 'PostgreSQL ' || current_setting('server_version')" ;;
        mysql) query mysql 'SELECT CONCAT("MySQL ", VERSION())' ;;
        mongodb) "$(mongodb_bin)" --version | sed -n 's/^secantusd-rs /SecantusDB /p' ;;
        mssql) say "test double of SQL Server" ;;
    esac
}

answers() {
    case $1 in
        redis) [ "$(redis_cli ping 2>/dev/null)" = PONG ] ;;
        # It has no client of its own; it listens when it is ready.
        mongodb) ! port_is_free "$MONGODB_PORT" ;;
        mssql) ! port_is_free "$MSSQL_PORT" ;;
        *) query "$1" 'SELECT 1' >/dev/null 2>&1 ;;
    esac
}

redis_cli() { timeout 5 redis-cli -h 127.0.0.1 -p "$REDIS_PORT" "$@"; }

query() {
    if [ "$1" = postgres ]; then
        PGPASSWORD=$ROOT_PASSWORD PGCONNECT_TIMEOUT=5 psql --no-psqlrc --host=127.0.0.1 --port="$POSTGRES_PORT" \
            --username=postgres --dbname=postgres --tuples-only --no-align --command="$2"
        return
    fi
    local client=(mariadb --no-defaults)
    [ "$1" = mysql ] && client=("$DIR/cache/mysql/bin/mysql" --no-defaults)
    MYSQL_PWD=$ROOT_PASSWORD "${client[@]}" --user=root --host=127.0.0.1 --port="$(port "$1")" \
        --connect-timeout=5 --batch --skip-column-names --execute="$2"
}

# --- start and stop ----------------------------------------------------------------------------------------------

start() {
    running "$1" && return
    port_is_free "$(port "$1")" || die "port $(port "$1") for $1 is taken; choose another with SYNCLINE_${1^^}_PORT"
    mkdir -p "$DIR/$1"
    "start_$1"
}

start_redis() {
    mkdir -p "$DIR/redis/data"
    # The package redis-tools has the server too, under another name; the package redis-server would start a
    # system service that nobody asked for.
    ln -sf "$(command -v redis-server || command -v redis-check-rdb)" "$DIR/redis/redis-server"
    launch redis "$DIR/redis/redis-server" --bind 127.0.0.1 --port "$REDIS_PORT" --daemonize no \
        --appendonly yes --appendfsync everysec --save '' --maxmemory-policy noeviction
}

start_mariadb() {
    local data=$DIR/mariadb/data as=()
    # mysqld refuses to run as root unless told so.
    [ "$UID" -ne 0 ] || as=(--user=root)
    if [ ! -d "$data" ]; then
        rm -rf "$data.new"
        mariadb-install-db --no-defaults "${as[@]}" --datadir="$data.new" --skip-test-db \
            --auth-root-authentication-method=normal >"$DIR/mariadb/init.log" 2>&1 ||
            die "mariadb-install-db failed: $DIR/mariadb/init.log"
        mv "$data.new" "$data"
    fi
    write_accounts mariadb
    # The character set is the one Debian configures; upstream's default is still latin1.
    launch mariadb mariadbd --no-defaults "${as[@]}" --datadir="$data" --port="$MARIADB_PORT" \
        --socket=mariadb.sock --init-file="$DIR/mariadb/accounts.sql" "${SQL_OPTIONS[@]}" \
        --innodb-log-file-size=512M --character-set-server=utf8mb4 --collation-server=utf8mb4_general_ci
}

start_postgres() {
    local data bin as=()
    data=$(data postgres) bin=$(postgres_bin)
    [ "$UID" -ne 0 ] || as=(setpriv --reuid=postgres --regid=postgres --init-groups)
    if [ ! -d "$data" ]; then
        rm -rf "$data.new" "$data.password"
        mkdir -m 700 "$data.new"
        (umask 077 && say "$ROOT_PASSWORD" >"$data.password")
        [ "$UID" -ne 0 ] || chown postgres:postgres "$data.new" "$data.password"
        "${as[@]}" "$bin/initdb" --pgdata="$data.new" --username=postgres --pwfile="$data.password" \
            --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 >"$DIR/postgres/init.log" 2>&1 ||
            die "initdb failed: $DIR/postgres/init.log"
        rm -f "$data.password"
        mv "$data.new" "$data"
    fi
    # It reads a key of its own only, and only if nobody else can.
    cp "$DIR/tls/server.pem" "$DIR/tls/server.key" "$data/"
    chmod 600 "$data/server.key"
    [ "$UID" -ne 0 ] || chown postgres:postgres "$data/server.pem" "$data/server.key"
    # Nothing is flushed, because no test cuts the power.
    launch postgres "${as[@]}" "$bin/postgres" -D "$data" -p "$POSTGRES_PORT" -c listen_addresses=127.0.0.1 \
        -c unix_socket_directories= -c max_connections=300 -c shared_buffers=256MB -c max_wal_size=1GB \
        -c fsync=off -c ssl=on -c ssl_cert_file=server.pem -c ssl_key_file=server.key
}

start_mysql() {
    local data=$DIR/mysql/data root=$DIR/cache/mysql share as=()
    [ "$UID" -ne 0 ] || as=(--user=root)
    share=$root/usr/share/mysql
    # A server that runs out of a folder finds nothing by itself; and it aborts unless secure-file-priv is set.
    local options=(--no-defaults "${as[@]}" --secure-file-priv=NULL --lc-messages-dir="$share"
        --character-sets-dir="$share/charsets" --plugin-dir="$root/usr/lib/mysql/plugin")
    if [ ! -d "$data" ]; then
        rm -rf "$data.new"
        "$root/bin/mysqld" "${options[@]}" --datadir="$data.new" --initialize-insecure >"$DIR/mysql/init.log" 2>&1 ||
            die "mysqld --initialize failed: $DIR/mysql/init.log"
        mv "$data.new" "$data"
    fi
    write_accounts mysql
    # No binary log: nothing reads it, and it would double what every test writes.
    launch mysql "$root/bin/mysqld" "${options[@]}" --datadir="$data" --port="$MYSQL_PORT" --mysqlx=OFF \
        --socket=mysql.sock --init-file="$DIR/mysql/accounts.sql" "${SQL_OPTIONS[@]}" \
        --innodb-redo-log-capacity=512M --disable-log-bin
}

# It syncs on every commit: without that, one that is killed forgets what it has acknowledged.
start_mongodb() {
    mkdir -p "$DIR/mongodb/data"
    launch mongodb "$(mongodb_bin)" --host 127.0.0.1 --port "$MONGODB_PORT" --storage-path "$DIR/mongodb/data" \
        --sync-on-commit --cache-size 2G --log-file-max 16MB --log-level WARNING
}

start_mssql() {
    mkdir -p "$DIR/mssql/data"
    launch mssql "$TDS" --port "$MSSQL_PORT" --data "$DIR/mssql/data" --cert "$DIR/tls/server.pem" --key "$DIR/tls/server.key"
}

# An authority and a server certificate signed by it: a client that verifies refuses a certificate that is both.
make_certificates() {
    local tls=$DIR/tls subject="subjectAltName=IP:127.0.0.1,DNS:localhost"
    [ ! -f "$tls/server.pem" ] || return 0
    have openssl || install_packages openssl
    mkdir -p "$tls"
    {
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
            -subj "/CN=syncline test authority" -keyout "$tls/ca.key" -out "$tls/ca.pem" &&
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=localhost" \
                -keyout "$tls/server.key" -out "$tls/server.csr" &&
            openssl x509 -req -in "$tls/server.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -CAcreateserial \
                -days 3650 -extfile <(printf '%s\nbasicConstraints=CA:FALSE\n' "$subject") -out "$tls/server.pem"
    } >"$tls/log" 2>&1 || die "cannot make certificates: $tls/log"
}

# Run by the server itself at every start, so that no password is ever on a command line.
write_accounts() {
    cat >"$DIR/$1/accounts.sql" <<SQL
ALTER USER root@localhost IDENTIFIED BY '$ROOT_PASSWORD';
CREATE USER IF NOT EXISTS root@'127.0.0.1', syncline@'127.0.0.1';
ALTER USER root@'127.0.0.1' IDENTIFIED BY '$ROOT_PASSWORD';
ALTER USER syncline@'127.0.0.1' IDENTIFIED BY '$USER_PASSWORD';
GRANT ALL PRIVILEGES ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;
GRANT ALL PRIVILEGES ON *.* TO syncline@'127.0.0.1';
SQL
}

# Runs a server in its data folder, detached from the terminal and from whatever pipe `up` writes to.
launch() {
    local server=$1
    shift
    (
        cd "$(data "$server")"
        exec 9>&- </dev/null >>"$DIR/$server/log" 2>&1
        exec setsid "$@"
    ) &
    say $! >"$DIR/$server/pid"
}

wait_ready() {
    local deadline=$((SECONDS + READY_SECONDS))
    until answers "$1"; do
        running "$1" || die "$1 ended while starting: $(tail -n 5 "$DIR/$1/log")"
        [ "$SECONDS" -lt "$deadline" ] || die "$1 does not answer after $READY_SECONDS s: $DIR/$1/log"
        sleep 0.2
    done
}

stop() {
    running "$1" || return 0
    local pid signal=KILL deadline=$((SECONDS + 60))
    pid=$(cat "$DIR/$1/pid")
    # The data is thrown away next, so there is nothing to shut down cleanly. PostgreSQL is many processes and shared
    # memory: on QUIT it ends at once, with both.
    [ "$1" != postgres ] || signal=QUIT
    kill "-$signal" "$pid"
    while running "$1"; do
        [ "$SECONDS" -lt "$deadline" ] || die "$1 (pid $pid) does not end"
        sleep 0.1
    done
}

port_is_free() { ! (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# --- installing --------------------------------------------------------------------------------------------------

have() { command -v "$1" >/dev/null; }

install_redis() { have redis-check-rdb || have redis-server || install_packages redis-tools; }

# For tests of clocks that differ.
install_faketime() { have faketime || install_packages faketime; }

# What the tests ask the HTTP API with.
install_curl() { have curl || install_packages curl; }

# Alert rules are tested by Prometheus' own tool. Only the tool is taken: the package would start a server.
install_promtool() {
    if have promtool || [ -x "$TOOLS/promtool" ]; then return 0; fi
    note "fetching promtool"
    local folder
    folder=$(mktemp -d)
    retry as_root apt-get update -qq
    (cd "$folder" && retry apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb . \
        && install -D usr/bin/promtool "$TOOLS/promtool")
    rm -rf "$folder"
}

# Tests that lose packets need root and these; without root they are skipped and say so.
install_network_tools() {
    [ "$UID" -eq 0 ] || return 0
    have ip || install_packages iproute2
    have nft || install_packages nftables
}

install_mariadb() {
    # The -core packages have the programs only: no system service, no configuration.
    have mariadbd && have mariadb || install_packages mariadb-server-core mariadb-client-core
}

# The newest that is installed; Debian keeps the programs out of the way.
postgres_bin() { find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1; }

install_postgres() {
    [ ! -x "$(postgres_bin)/postgres" ] || return 0
    # The package would make a database of its own and run it as a service. It is told not to, for this once.
    local conf=/etc/postgresql-common/createcluster.conf failed=0
    install_packages postgresql-common
    as_root cp "$conf" "$conf.before"
    as_root sed -i '$a create_main_cluster = false' "$conf"
    install_packages postgresql || failed=1
    as_root mv "$conf.before" "$conf"
    return "$failed"
}

mongodb_bin() { say "$DIR/cache/mongodb/bin/secantusd-rs"; }

# Built from source, once: there are no packages. What runs for tests need not be optimised for long.
install_mongodb() {
    [ ! -x "$(mongodb_bin)" ] || return 0
    have cmake && have g++ && have make || install_packages cmake g++ make
    note "building the MongoDB-compatible server (3 to 6 minutes, once)"
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
        cargo install secantus-mdb --version "$SECANTUS_VERSION" --ignore-rust-version --locked --quiet \
        --root "$DIR/cache/mongodb" --target-dir "$DIR/cache/mongodb.build" >"$DIR/cache/mongodb.log" 2>&1 ||
        die "cannot build the MongoDB-compatible server: $DIR/cache/mongodb.log"
    rm -rf "$DIR/cache/mongodb.build"
}

install_packages() {
    [ "$UID" -eq 0 ] || have sudo || die "missing Debian packages, and neither root nor sudo to install them: $*"
    note "installing $*"
    # Once per call is once per machine: later calls find the programs and do not come here.
    retry as_root apt-get update -qq
    retry as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        -o DPkg::Lock::Timeout=120 "$@"
}

as_root() { if [ "$UID" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

# Another apt on a fresh machine (unattended upgrades) holds the locks for a while; a mirror may hiccup.
retry() {
    local try log
    log=$(mktemp)
    for try in 1 2 3 4 5; do
        if "$@" >"$log" 2>&1; then rm -f "$log"; return; fi
        note "failed ($try of 5): $*"
        tail -n 3 "$log" >&2
        [ "$try" -eq 5 ] || sleep $((try * 3))
    done
    rm -f "$log"
    return 1
}

# Oracle's MySQL is in Debian's suite sid only. It is unpacked into a folder with every library it needs, down to
# the C library, and never installed: the machine keeps its own suite.
install_mysql() {
    local root=$DIR/cache/mysql work=$DIR/cache/mysql.work
    [ ! -d "$root" ] || return 0
    rm -rf "$work"
    mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/root"
    note "downloading MySQL (60 MB, once)"
    if ! download_mysql "$work" >"$DIR/cache/mysql.log" 2>&1; then
        tail -n 5 "$DIR/cache/mysql.log" >&2
        return 1
    fi
    mv "$work/root" "$root"
    rm -rf "$work"
}

# `errexit` is off inside an `if`, hence the chain.
download_mysql() {
    local work=$1 mirror deb
    mirror=$(debian_mirror)
    # Images come without apt's lists, and then apt names no mirror.
    [ -n "$mirror" ] || { retry as_root apt-get update -qq && mirror=$(debian_mirror); }
    [ -n "$mirror" ] || { say "apt knows no Debian mirror"; return 1; }
    say "deb $mirror sid main" >"$work/sources.list"
    # An empty status file makes apt think that nothing is installed: it fetches all that MySQL depends on.
    : >"$work/status"
    local apt=(apt-get -q -y
        -o Dir::State="$work/state" -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache"
        -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- -o Dir::Etc::preferencesparts=-
        -o Acquire::Languages=none -o Acquire::Retries=3 -o Debug::NoLocking=1 -o APT::Sandbox::User=)
    "${apt[@]}" update &&
        "${apt[@]}" install --no-install-recommends --download-only mysql-server-core mysql-client-core || return 1
    for deb in "$work"/cache/archives/*.deb; do
        dpkg-deb -x "$deb" "$work/root" || return 1
    done
    wrap_mysql "$work/root" && "$work/root/bin/mysqld" --version && "$work/root/bin/mysql" --version
}

# The mirror is asked from apt, so that a machine behind a local mirror uses that.
debian_mirror() {
    apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian //p' | head -n 1
}

mysql_notice() {
    cat >&2 <<TEXT
********************************************************************************
* MySQL could not be downloaded. Tests run against MariaDB only, and prove
* nothing about MySQL. Log: $DIR/cache/mysql.log
* To use a MySQL of your own, set SYNCLINE_TEST_MYSQL_URL.
********************************************************************************
TEXT
}

# A wrapper per program, in bin/: runs it through the C library it was unpacked with.
wrap_mysql() {
    local root=$1 loader program
    loader=$(cd "$root" && find usr/lib -name 'ld-linux-*.so.*' | head -n 1)
    [ -n "$loader" ] && mkdir -p "$root/bin" || return 1
    for program in usr/sbin/mysqld usr/bin/mysql usr/bin/mysqldump; do
        [ -x "$root/$program" ] || continue
        cat >"$root/bin/${program##*/}" <<SH
#!/bin/sh
root=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")
exec "\$root/$loader" --library-path "\$root/$(dirname "$loader"):\$root/usr/lib/mysql/private" "\$root/$program" "\$@"
SH
        chmod +x "$root/bin/${program##*/}" || return 1
    done
}

# --- one at a time -----------------------------------------------------------------------------------------------

locked() {
    mkdir -p "$DIR/cache"
    chmod 700 "$DIR"
    exec 9>"$DIR/lock"
    flock -w 600 9 || die "another tests/servers.sh is at work"
    "$@"
}

main "$@"
