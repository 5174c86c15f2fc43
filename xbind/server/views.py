"""What the HTTP interface answers; the OpenAPI document is made from these."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from xbind.batch.executor import Progress
from xbind.batch.jobs import prompt_files
from xbind.batch.queue import Record, State
from xbind.server.files import JobFile
from xbind.server.service import Moment, Service


class View(BaseModel):
    """An answer."""

    model_config = ConfigDict(frozen=True)


class PromptView(View):
    """The prompt of a job."""

    text: str | None = Field(description="Words, if any.")
    files: dict[str, str] = Field(description="Modality, or `mask` → name among the job's files.")
    weights: dict[str, float] = Field(description="Modality → weight in the mix.")


class ProgressView(View):
    """Where a running job is."""

    stage: str = Field(description="Stage of the method.")
    step: int = Field(description="Steps of the stage that are done.")
    steps: int = Field(description="Steps of the stage.")


class JobView(View):
    """A job."""

    id: str = Field(description="Depends on prompt, seed, method, bundle and device alone.")
    label: str = Field(description="The prompt on one line.")
    state: State = Field(
        description="`reference`: the reference view is there; `resume` accepts it."
    )
    prompt: PromptView
    seed: int
    preset: str
    submitted: float = Field(description="Seconds since 1970.")
    seconds: float = Field(description="Time that was computed, without attempts that were killed.")
    error: str | None = Field(description="Why it failed.")
    messages: list[str] = Field(description="What the run reported; there when it has ended.")
    progress: ProgressView | None = Field(description="While it runs.")
    candidate: int | None = Field(description="The sampled reference view that was asked for.")
    candidates: int = Field(description="Samples on `references.png`; 0 if the prompt has none.")
    understood: dict[str, dict[str, dict[str, float]]] = Field(
        description="Modality, or `mix` → `things` or `colours` → name → share in [0, 1]."
    )


class JobsView(View):
    """All jobs, the latest first."""

    jobs: list[JobView]


class FileView(View):
    """A file of a job."""

    name: str
    bytes: int
    media_type: str


class FilesView(View):
    """Files of a job."""

    files: list[FileView]


class InfoView(View):
    """The server."""

    version: str
    bundle: str
    presets: list[str]
    modalities: dict[str, list[str]] = Field(
        description="Modalities of the bundle, and `mask` → kinds of files that are read."
    )
    upload_bytes: int = Field(description="Most bytes of the files of one prompt together.")
    quota_bytes: int = Field(description="Most bytes of all jobs.")
    used_bytes: int = Field(description="Of these, with what is reserved for unfinished jobs.")
    waiting: int = Field(description="Jobs that wait.")


class Refusal(View):
    """Why a request was refused."""

    error: str


class Again(BaseModel):
    """Changes for a job with the prompt of another one."""

    model_config = ConfigDict(extra="forbid")

    seed: int = Field(ge=0, lt=2**63, description="Seed of every random draw.")
    preset: str | None = Field(None, description="By default that of the other job.")
    review: bool = Field(True, description="Stop at the reference view, until it is accepted.")
    candidate: int | None = Field(
        None, ge=1, description="Number of the sampled reference view to take; the best by default."
    )


def job_view(service: Service, moment: Moment) -> JobView:
    """A job, as it is answered."""
    record, progress = moment.record, moment.progress
    config = record.job.config
    prompt = config.prompt
    files = {name: f"inputs/{path.name}" for name, path in prompt_files(prompt).items()}
    weights: dict[str, float] = {modality: prompt.weight(modality) for modality in prompt.given()}
    understood: Any = service.understood(moment)
    return JobView(
        id=record.id, label=record.job.label, state=record.state,
        prompt=PromptView(text=prompt.text, files=files, weights=weights),
        seed=config.seed, preset=config.preset, submitted=record.submitted,
        candidate=config.candidate, candidates=service.candidates(record),
        seconds=record.seconds, error=record.error and _shown(record.error, service, record),
        messages=[_shown(message, service, record) for message in record.messages],
        progress=_progress_view(progress),
        understood=understood,
    )  # fmt: skip


def _shown(text: str, service: Service, record: Record) -> str:
    """A message of a run without the paths of this machine, and without a traceback."""
    for path in prompt_files(record.job.config.prompt).values():
        text = text.replace(str(path), f"inputs/{path.name}")
    text = text.replace(f"{service.queue.folder}/", "")
    if text.startswith("Internal error"):
        return f"{text.splitlines()[0]}\nThe server's folder `logs` has the traceback."
    return text


def _progress_view(progress: Progress | None) -> ProgressView | None:
    if progress is None:
        return None
    return ProgressView(stage=progress.stage, step=progress.step, steps=progress.steps)


def file_view(file: JobFile) -> FileView:
    """A file, as it is answered."""
    return FileView(name=file.name, bytes=file.size, media_type=file.media_type)
