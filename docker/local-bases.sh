#!/usr/bin/env bash
# Makes base images on a machine that reaches no registry of images: a Debian by debootstrap, and on
# it the Rust of this machine, a Redis, a Valkey, an nginx and a Prometheus.
# usage: local-bases.sh
# Prints the variables that put these images in place of the published ones. Needs root, a Docker
# engine and debootstrap (scripts/setup.sh docker).
# Redis and Valkey are those of the test matrix. Users, paths and commands are as in the published
# images.
# shellcheck source=engine.sh source-path=SCRIPTDIR
source "$(dirname "$0")/engine.sh"
help_if_asked "$@"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

need_engine
have debootstrap || die "debootstrap is missing; scripts/setup.sh docker installs it"
[ "$(id -u)" = 0 ] || die "debootstrap needs root"

has_image() { docker image inspect "$1" >/dev/null 2>&1; }

build() { # image; the Dockerfile on stdin, the files that it copies in $work/context
  say "making $1 …"
  docker build --quiet --network=host --tag "$1" --file - "$work/context" >/dev/null
}

new_context() { rm -rf "$work/context"; mkdir -p "$work/context"; }

debian() {
  say "making local/debian by debootstrap …"
  debootstrap --variant=minbase bookworm "$work/debian" >"$work/log" 2>&1 ||
    { tail -20 "$work/log" >&2; die "debootstrap failed"; }
  # The slim images of Debian leave these out too.
  rm -rf "$work"/debian/var/cache/apt/*.bin "$work"/debian/var/cache/apt/archives/*.deb \
    "$work"/debian/var/lib/apt/lists/* "$work"/debian/usr/share/{doc,man,locale,info}/*
  # A proxy of this machine may have certificates of its own, which builds need too.
  mkdir -p "$work/debian/etc/ssl/certs"
  cp -L /etc/ssl/certs/ca-certificates.crt "$work/debian/etc/ssl/certs/"
  tar -C "$work/debian" -c . | docker import - local/debian >/dev/null
}

rust() {
  new_context
  cp -a "$(rustc --print sysroot)" "$work/context/rust"
  rm -rf "$work/context/rust/share/doc"
  build local/rust <<'END'
FROM local/debian
COPY rust /usr/local/rust
ENV PATH=/usr/local/rust/bin:$PATH CARGO_HOME=/usr/local/cargo
END
}

# The user and the directory are those of the published images. The tools are Debian's, which work
# with every server.
redis_or_valkey() { # redis | valkey
  local path
  new_context
  path=$("$root/scripts/servers.sh" found | grep "^$1-[89]" | head -1 | cut -d' ' -f2- || true)
  [ -n "$path" ] || die "there is no $1 on this machine; make test-matrix downloads one"
  cp -L "$path" "$work/context/$1-server"
  build "local/$1" <<END
FROM local/debian
RUN useradd --system --uid 999 $1 && mkdir /data && chown $1 /data
RUN apt-get update -q && apt-get install -qy --no-install-recommends redis-tools libstdc++6 && rm -rf /var/lib/apt/lists/*
RUN for tool in cli benchmark; do ln -sf /usr/bin/redis-\$tool /usr/local/bin/$1-\$tool; done
COPY $1-server /usr/local/bin/
VOLUME /data
END
}

nginx() {
  new_context
  cat >"$work/context/nginx.conf" <<'END'
pid /run/nginx.pid;
error_log /dev/stderr notice;
events { worker_connections 1024; }
http {
  default_type application/octet-stream;
  access_log /dev/stdout;
  include /etc/nginx/conf.d/*.conf;
}
END
  build local/nginx <<'END'
FROM local/debian
RUN groupadd --system --gid 101 nginx && useradd --system --gid nginx --uid 101 nginx
RUN apt-get update -q && apt-get install -qy --no-install-recommends nginx-light curl && rm -rf /var/lib/apt/lists/* \
    && rm -r /var/lib/nginx && ln -s /var/cache/nginx /var/lib/nginx
COPY nginx.conf /etc/nginx/
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
END
}

prometheus() {
  new_context
  build local/prometheus <<'END'
FROM local/debian
RUN apt-get update -q && apt-get install -qy --no-install-recommends prometheus && rm -rf /var/lib/apt/lists/* \
    && mkdir /prometheus && chown nobody /prometheus
USER nobody
WORKDIR /prometheus
ENTRYPOINT ["prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
END
}

has_image local/debian || debian
has_image local/rust || rust
"$root/scripts/servers.sh" matrix >/dev/null
has_image local/redis || redis_or_valkey redis
has_image local/valkey || redis_or_valkey valkey
has_image local/nginx || nginx
has_image local/prometheus || prometheus
for base in debian rust redis valkey nginx prometheus; do
  echo "$(tr '[:lower:]' '[:upper:]' <<<$base)_IMAGE=local/$base"
done
