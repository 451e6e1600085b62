# Builds the package and codes the test speech: docker build -t secousti . && docker run --rm secousti
FROM python:3.12-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /secousti
COPY . .
RUN SECOUSTI_CUDA=OFF pip wheel --no-cache-dir --no-deps --wheel-dir dist .

FROM python:3.12-slim-bookworm
WORKDIR /secousti
COPY --from=build /secousti/dist/ dist/
RUN pip install --no-cache-dir dist/*.whl && rm -r dist && useradd --create-home user
COPY tests/data/speech.flac .
USER user
WORKDIR /data
ENTRYPOINT ["secousti"]
CMD ["roundtrip", "/secousti/speech.flac", "-o", "/dev/shm/roundtrip.wav", "-f"]
