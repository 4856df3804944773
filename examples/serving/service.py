"""A prediction service: the model is verified and loaded once, before the workers fork, and they share its memory.

    MODEL=churn.safemodel TRUST=release.key.pub NAME=acme/churn gunicorn service:app
    curl -d '{"rows": [[0.1, 1.2, ...]]}' -H 'Content-Type: application/json' localhost:8000/predict

`gunicorn.conf.py` beside this file says how many workers there are. A file that is not trusted ends the start with
safemodel's message; no worker ever runs.
"""

import os
from typing import Annotated

import numpy as np
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

import safemodel

with safemodel.verify(os.environ["MODEL"], trust=os.environ["TRUST"], name=os.environ["NAME"]) as artifact:
    model = artifact.load()

app = FastAPI(title=artifact.manifest.name)


class Rows(BaseModel):
    """A request: rows of numbers, one number for each feature."""

    rows: Annotated[list[list[float]], Field(min_length=1, max_length=1000)]


@app.get("/model")
def describe() -> dict[str, str | None]:
    """Say which model answers: what was signed, and by whom."""
    return {
        "name": artifact.manifest.name,
        "version": artifact.manifest.version,
        "digest": artifact.digest,
        "signer": artifact.signers[0].signer,
    }


@app.post("/predict")
def predict(body: Rows) -> dict[str, list[list[float]]]:
    """Return the probability of each class for each row."""
    if {len(row) for row in body.rows} != {model.n_features_in_}:
        raise HTTPException(422, f"expected {model.n_features_in_} numbers in each row")
    return {"probabilities": model.predict_proba(np.array(body.rows)).tolist()}
