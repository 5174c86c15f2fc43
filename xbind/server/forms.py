"""The form of a prompt, as multipart/form-data."""

from typing import IO, Annotated, Any, NamedTuple

from fastapi import Depends, File, Form, Request, UploadFile

from xbind.server.errors import BadPrompt
from xbind.server.uploads import SUFFIXES

_File = Annotated[UploadFile | None, File()]
_Weight = Annotated[float | None, Form(gt=0, description="In the mix; only ratios matter.")]
_Degrees = Annotated[float | None, Form(description="Pose of the object in `image`, in degrees.")]


class PromptForm(NamedTuple):
    """A prompt as it was sent."""

    values: dict[str, Any]
    """What is no file; what was not given is left out."""
    files: dict[str, IO[bytes]]
    """Modality, or `mask` → the uploaded file."""


async def prompt_form(
    request: Request,
    text: Annotated[str | None, Form(description='Words, such as "a red mug".')] = None,
    image: _File = None,
    mask: _File = None,
    audio: _File = None,
    depth: _File = None,
    video: _File = None,
    thermal: _File = None,
    imu: _File = None,
    text_weight: _Weight = None,
    image_weight: _Weight = None,
    audio_weight: _Weight = None,
    depth_weight: _Weight = None,
    video_weight: _Weight = None,
    thermal_weight: _Weight = None,
    imu_weight: _Weight = None,
    depth_kind: Annotated[str, Form(pattern="^(depth|disparity)$")] = "depth",
    elevation: _Degrees = None,
    azimuth: _Degrees = None,
    exact_words: Annotated[bool, Form()] = False,
    ignore_unknown: Annotated[bool, Form()] = False,
    seed: Annotated[int, Form(ge=0, lt=2**63)] = 0,
    preset: Annotated[str, Form()] = "default",
    review: Annotated[
        bool, Form(description="Stop at the reference view, until it is accepted.")
    ] = False,
) -> PromptForm:
    """Reads the form.

    Raises:
        BadPrompt: a field is not known, or given twice.
    """
    given = {name: value for name, value in locals().items() if name != "request"}
    names = [name for name, _ in (await request.form()).multi_items()]
    for name in names:
        if name not in given:
            raise BadPrompt(f"There is no field {name[:64]!r}.\nKnown are {', '.join(given)}.")
        if names.count(name) > 1:
            raise BadPrompt(f"The field {name} is given twice.")
    files = {name: given.pop(name) for name in SUFFIXES}
    return PromptForm(
        {name: value for name, value in given.items() if value is not None and value != ""},
        {name: file.file for name, file in files.items() if _is_there(file)},
    )


def _is_there(file: UploadFile | None) -> bool:
    """Whether a file was chosen: browsers send an empty one without a name if not."""
    return file is not None and bool(file.filename or file.size)


Prompt = Annotated[PromptForm, Depends(prompt_form)]
"""The form of a request."""
