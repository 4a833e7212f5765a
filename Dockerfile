# One image for all processes: `tenantry registry`, `tenantry gateway`, `tenantry shard`, `tenantry views`.
# Any Debian-like base with Python 3.11 or newer and its venv module will do.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /src
COPY requirements-build.lock requirements-runtime.lock ./
# Two environments: one that builds, and the one that is the image, which has no pip.
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --quiet --no-cache-dir --require-hashes --requirement requirements-build.lock \
 && python3 -m venv --without-pip /opt/tenantry \
 && /opt/build/bin/pip --python /opt/tenantry/bin/python install --quiet --no-cache-dir --only-binary :all: \
      --require-hashes --requirement requirements-runtime.lock
COPY . .
RUN /opt/build/bin/python -m tools.protos \
 && /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheel . \
 && /opt/build/bin/pip --python /opt/tenantry/bin/python install --quiet --no-cache-dir --no-deps /wheel/*.whl \
 && mkdir /state

FROM ${BASE}
LABEL org.opencontainers.image.title="tenantry" \
      org.opencontainers.image.description="A Kubernetes-compatible control plane for very many tenants" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/tenantry /opt/tenantry
# Certificates and kubeconfig of a process. Nothing else is written, so the root file system can be read-only.
COPY --from=build --chown=10001:10001 /state /var/lib/tenantry
ENV PATH=/opt/tenantry/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TENANTRY_BIND_ADDRESS=0.0.0.0 \
    TENANTRY_ROOT_DIRECTORY=/var/lib/tenantry
WORKDIR /var/lib/tenantry
# A number, so that Kubernetes can tell that it is not root.
USER 10001:10001
STOPSIGNAL SIGTERM
# What listens elsewhere sets TENANTRY_PROBE_URL.
HEALTHCHECK --interval=5s --timeout=4s --start-period=60s --retries=3 CMD ["tenantry", "probe"]
ENTRYPOINT ["tenantry"]
CMD ["--help"]
