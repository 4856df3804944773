# An image with `safemodel verify`, `scan` and all that needs no scikit-learn; see docs/ci.md.
FROM python:3.13-slim AS build
COPY pyproject.toml README.md LICENSE /checkout/
COPY safemodel /checkout/safemodel
RUN python -I -m venv /opt/safemodel
RUN /opt/safemodel/bin/python -I -m pip --disable-pip-version-check install --no-cache-dir /checkout
RUN /opt/safemodel/bin/python -I -m pip --disable-pip-version-check uninstall --yes pip

FROM python:3.13-slim
COPY --from=build /opt/safemodel /opt/safemodel
USER 65532:65532
WORKDIR /
ENTRYPOINT ["/opt/safemodel/bin/python", "-I", "-m", "safemodel"]
CMD ["--help"]
