# The daemon and its commands; PostgreSQL runs elsewhere (docker-compose.yml).
# Any base from Debian will do that has Python 3.11 or newer as python3, with venv.
ARG BASE=python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b
FROM ${BASE} AS build
WORKDIR /src
RUN python3 -m venv /opt/annotator
COPY requirements/run.txt requirements/run.txt
RUN /opt/annotator/bin/pip install --no-cache-dir --disable-pip-version-check \
    --require-hashes -r requirements/run.txt
COPY . .
RUN /opt/annotator/bin/pip install --no-cache-dir --disable-pip-version-check \
    --no-deps --no-build-isolation .

FROM ${BASE}
# libgomp is what XGBoost and scikit-learn run their threads on.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home annotator \
    && install --directory --owner annotator /reports
COPY --from=build /opt/annotator /opt/annotator
ENV PATH=/opt/annotator/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    ANNOTATOR_LOG_FORMAT=json
USER annotator
WORKDIR /home/annotator
STOPSIGNAL SIGTERM
ENTRYPOINT ["annotator"]
CMD ["serve"]
