"""What a measurement ran on."""

from pydantic import Field

from prunescope.artifacts.document import Document


class Hardware(Document):
    """The machine of a measurement."""

    device_name: str = Field(description="Name of the accelerator, or of the CPU without one.")
    cpu: str
    cpu_count: int | None = Field(description="Cores.")
    threads: int = Field(description="Of PyTorch.")
    system: str = Field(description="Operating system and architecture.")
