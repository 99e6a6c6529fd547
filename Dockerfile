# One image a program:
#
#   docker build --target authorizer -t curfew-authorizer .
#   docker build --target identity   -t curfew-identity   .
#   docker build --target relay      -t curfew-relay      .
#   docker build --target injector   -t curfew-injector   .
#   docker build --target cli        -t curfew-cli        .
#   docker build --target redirect   -t curfew-redirect   .
#
# Programs are bundles on a distroless Node: no shell, no package manager, no node_modules. They run as user 65532 and
# need no writable file system. /app/sbom.cdx.json lists what is inside.
ARG BUILD_IMAGE=node:24-bookworm-slim
ARG RUNTIME_IMAGE=gcr.io/distroless/nodejs24-debian12:nonroot
ARG REDIRECT_IMAGE=debian:bookworm-slim
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=

FROM ${BUILD_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc LICENSE ./
# Install scripts are not ours to run; esbuild's would only save a few milliseconds.
RUN npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
COPY tsconfig.json ./
COPY scripts/bundle.ts scripts/
COPY src src
# `npm sbom --omit=dev` leaves out what a development package needs as well (jose, grpc): the lock is cut down first.
ARG VERSION
ARG REVISION
RUN node scripts/bundle.ts --out dist --version "$VERSION" --revision "$REVISION" \
 && npm pkg delete devDependencies optionalDependencies \
 && npm install --package-lock-only --offline --ignore-scripts --no-audit --no-fund --loglevel=error \
 && npm sbom --package-lock-only --sbom-format=cyclonedx > dist/sbom.cdx.json \
 && mkdir data

# A small young generation takes less memory at the same CPU time. With one malloc arena, Node's threads don't get one each.
# src/runtime/v8-tuning.ts has the values, docs/adr/0010-v8-tuning.md the reasons.
FROM ${RUNTIME_IMAGE} AS runtime
ARG VERSION
ARG REVISION
ARG SOURCE
ENV NODE_ENV=production MALLOC_ARENA_MAX=1 NODE_COMPILE_CACHE=/app/compile-cache
WORKDIR /app
COPY --from=build /build/LICENSE /build/dist/sbom.cdx.json ./
LABEL org.opencontainers.image.vendor="Curfew" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
USER 65532:65532
ENTRYPOINT ["/nodejs/bin/node", "--max-semi-space-size=2"]

# Compiles each program once, as the user and with the flags it runs with, so that a start finds it compiled. Node
# ignores the result on a different processor.
FROM runtime AS warm
COPY --from=build /build/dist/ /app/
ENV NODE_COMPILE_CACHE=/tmp/compile-cache
RUN ["/nodejs/bin/node", "-e", \
     "const { spawnSync } = require('node:child_process'); const flags = { authorizer: ['--max-semi-space-size=2', '--no-parallel-scavenge'], identity: ['--max-semi-space-size=4'], relay: ['--max-semi-space-size=2'], injector: ['--max-semi-space-size=2'] }; for (const [name, own] of Object.entries(flags)) spawnSync(process.execPath, [...own, `/app/${name}.mjs`, '--config', '/none'], { env: { ...process.env, NODE_COMPILE_CACHE: `/tmp/compile-cache/${name}` }, stdio: 'inherit' })"]

FROM runtime AS authorizer
LABEL org.opencontainers.image.title="curfew-authorizer" \
      org.opencontainers.image.description="Envoy ext_authz server: validates JWTs and refuses revoked ones"
COPY --from=build /build/dist/authorizer.mjs* ./
COPY --from=warm /tmp/compile-cache/authorizer compile-cache
EXPOSE 9001 9002
ENTRYPOINT ["/nodejs/bin/node", "--max-semi-space-size=2", "--no-parallel-scavenge", "/app/authorizer.mjs"]
CMD ["--config", "/etc/curfew/authorizer.yaml"]

# `docker exec CONTAINER /nodejs/bin/node curfew.mjs user add …` works here too.
FROM runtime AS identity
LABEL org.opencontainers.image.title="curfew-identity" \
      org.opencontainers.image.description="OpenID provider with short access tokens, and owner of the revocation log"
COPY --from=build /build/dist/identity.mjs* ./
COPY --from=build /build/dist/curfew.mjs* ./
COPY --from=build /build/dist/assets assets
COPY --from=warm /tmp/compile-cache/identity compile-cache
# So that a volume mounted here is writable.
COPY --from=build --chown=65532:65532 /build/data /var/lib/curfew
EXPOSE 8080 9012
ENTRYPOINT ["/nodejs/bin/node", "--max-semi-space-size=4", "/app/identity.mjs"]
CMD ["--config", "/etc/curfew/identity.yaml"]

FROM runtime AS relay
LABEL org.opencontainers.image.title="curfew-relay" \
      org.opencontainers.image.description="Turns events of foreign identity providers into revocations, and owns their log"
COPY --from=build /build/dist/relay.mjs* ./
COPY --from=build /build/dist/curfew.mjs* ./
COPY --from=build /build/dist/assets assets
COPY --from=warm /tmp/compile-cache/relay compile-cache
COPY --from=build --chown=65532:65532 /build/data /var/lib/curfew
EXPOSE 8081 9012
ENTRYPOINT ["/nodejs/bin/node", "--max-semi-space-size=2", "/app/relay.mjs"]
CMD ["--config", "/etc/curfew/relay.yaml"]

FROM runtime AS injector
LABEL org.opencontainers.image.title="curfew-injector" \
      org.opencontainers.image.description="Kubernetes admission webhook that puts Envoy and the authorizer into pods"
COPY --from=build /build/dist/injector.mjs* ./
COPY --from=warm /tmp/compile-cache/injector compile-cache
EXPOSE 8443 9022
ENTRYPOINT ["/nodejs/bin/node", "--max-semi-space-size=2", "/app/injector.mjs"]
CMD ["--config", "/etc/curfew/injector.yaml"]

# Every command of `bin/curfew`, for jobs and for hands.
FROM runtime AS cli
LABEL org.opencontainers.image.title="curfew-cli" \
      org.opencontainers.image.description="Curfew's command line"
COPY --from=build /build/dist/curfew.mjs* ./
COPY --from=build /build/dist/assets assets
ENTRYPOINT ["/nodejs/bin/node", "/app/curfew.mjs"]
CMD ["help"]

# Sets the nftables rules of a pod and ends. The one image that runs as root, with the capability NET_ADMIN and no other.
FROM ${REDIRECT_IMAGE} AS redirect
ARG VERSION
ARG REVISION
ARG SOURCE
RUN apt-get update \
 && apt-get install -y --no-install-recommends nftables \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/* /usr/share/doc /usr/share/man
LABEL org.opencontainers.image.title="curfew-redirect" \
      org.opencontainers.image.description="nftables for Curfew's redirect capture" \
      org.opencontainers.image.vendor="Curfew" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
ENTRYPOINT ["nft"]
