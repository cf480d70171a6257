"""What the sections share: their base class, and types of values."""

import math
import os
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from prunescope.config.protocols import Protocol
from prunescope.files import expanded

Dtype = Literal["auto", "float32", "bfloat16"]
GgufType = Literal["f32", "f16", "bf16", "q8_0", "q4_0", "q4_k_m"]
GGUF_TYPES: tuple[GgufType, ...] = get_args(GgufType)
Rate = Annotated[float, Field(ge=0, le=1)]
PathName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
SweepName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
TextName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")]
Weight = Annotated[float, Field(gt=0)]
Percentile = Annotated[float, Field(ge=0, le=100)]


def _expanded(path: str) -> str:
    if not path or "\0" in path:
        raise ValueError("is no path; leave it out where there is none")
    if os.path.normpath(Path.cwd() / expanded(path)) in ("/", "//"):  # POSIX keeps two slashes
        raise ValueError("is the root of all folders: name the folder or the files that are meant")
    return expanded(path)


LocalPath = Annotated[str, AfterValidator(_expanded)]
"""A file, folder or glob on this machine; `~` is the home folder."""


class Section(BaseModel):
    """Base of all sections: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def read_tau(value: Any) -> Any:
    return math.inf if value == "inf" else value


def write_tau(value: Any) -> Any:
    return "inf" if value == math.inf else value


Tau = Annotated[
    Annotated[float, Field(ge=0, allow_inf_nan=True)] | Literal["auto"],
    BeforeValidator(read_tau, json_schema_input_type=Annotated[float, Field(ge=0)] | Literal["inf", "auto"]),
    PlainSerializer(write_tau),
]


def _known_protocol(name: str) -> str:
    return Protocol.parse(name).name


ProtocolName = Annotated[
    str, AfterValidator(_known_protocol), WithJsonSchema({"type": "string", "pattern": r"^w\d+(s\d+)?$"})
]
