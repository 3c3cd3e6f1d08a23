# The proxy in a container. It needs no writable disk, no privilege and no shell: docker-compose.yml takes all three away.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/llm-proxy
COPY requirements/postgres.txt requirements/
RUN /opt/llm-proxy/bin/pip install --require-hashes --requirement requirements/postgres.txt
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY proxy proxy
# botocore describes every service of AWS in 27 MB; signing and signing in need these five.
RUN /opt/llm-proxy/bin/pip install --no-deps --no-build-isolation . \
    && /opt/llm-proxy/bin/pip uninstall --yes setuptools pip \
    && cd /opt/llm-proxy/lib/python3.*/site-packages/botocore/data \
    && find . -mindepth 1 -maxdepth 1 -type d \
        ! -name bedrock-runtime ! -name signin ! -name sso ! -name sso-oidc ! -name sts -exec rm -r {} +

FROM ${BASE}
LABEL org.opencontainers.image.title="llm-stream-proxy" \
      org.opencontainers.image.description="A streaming reverse proxy for LLM backends" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/llm-proxy/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 LLM_PROXY_LISTEN=0.0.0.0:8080
COPY --from=build /opt/llm-proxy /opt/llm-proxy
# For the usage store; a volume that is mounted here gets this owner.
RUN mkdir /data && chown 10001:10001 /data
# A configuration is looked for in /app/config/proxy.yaml; without one the environment says it all.
WORKDIR /app
USER 10001:10001
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=20s --retries=3 CMD ["llm-proxy", "healthcheck"]
ENTRYPOINT ["llm-proxy"]
CMD ["serve"]
