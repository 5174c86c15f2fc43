"""USDZ: a textured mesh as a USD layer in ASCII and its texture, in an uncompressed ZIP.

Layout (USDZ file format specification): the layer is the first file, nothing is compressed, and the
data of every file starts at a multiple of 64 bytes, so that it can be mapped into memory.
"""

import json
import struct
import zipfile
from io import BytesIO

import torch
from jaxtyping import UInt8
from torch import Tensor

from xbind.config.options import Material
from xbind.scene.mesh.baking import SurfaceMap, UnwrappedMesh
from xbind.scene.mesh.files import FileInfo, png_bytes, upward
from xbind.scene.mesh.gltf import GENERATOR
from xbind.scene.mesh.placement import y_up

_LAYER, _TEXTURE, _MAP = "model.usda", "textures/surface.png", "textures/material.png"
_ALIGNMENT = 64
_PADDING_ID = 0x1986  # of the extra field that pads, as in OpenUSD's own writer
_LOCAL_HEADER, _EXTRA_HEADER = 30, 4
_SHADED = {
    "lit": "color3f inputs:diffuseColor.connect = </Root/Look/Texture.outputs:rgb>",
    "unlit": (
        "color3f inputs:diffuseColor = (0, 0, 0)\n"
        "            color3f inputs:emissiveColor.connect = </Root/Look/Texture.outputs:rgb>\n"
        "            int inputs:useSpecularWorkflow = 1\n"
        "            color3f inputs:specularColor = (0, 0, 0)"
    ),
}
"""UsdPreviewSurface has no unlit mode: a surface that only emits looks the same."""


def usdz_bytes(
    unwrapped: UnwrappedMesh,
    texture: UInt8[Tensor, "s s 3"],
    info: FileInfo | None = None,
    *,
    surface_map: SurfaceMap | None = None,
) -> bytes:
    """Returns a USDZ package: y-up, one unit is one metre. The same mesh gives the same bytes.

    Args:
        unwrapped: the surface, in the scene's frame.
        texture: its colours, sRGB.
        info: material, placement and metadata; by default unlit, in place, without any.
        surface_map: roughness and metalness; only for a `lit` material.
    """
    info = info or FileInfo()
    has_map = surface_map is not None
    files = {_LAYER: _layer(unwrapped, info, has_map).encode(), _TEXTURE: png_bytes(texture)}
    if surface_map is not None:
        files[_MAP] = png_bytes(surface_map)
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as package:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)
            start = buffer.tell() + _LOCAL_HEADER + len(name) + _EXTRA_HEADER
            padding = -start % _ALIGNMENT
            entry.extra = struct.pack("<HH", _PADDING_ID, padding) + bytes(padding)
            package.writestr(entry, data)
    return buffer.getvalue()


def _layer(unwrapped: UnwrappedMesh, info: FileInfo, has_map: bool) -> str:
    points = torch.from_numpy(info.placement.apply(y_up(unwrapped.vertices)))
    normals = torch.from_numpy(y_up(unwrapped.normals))
    extent = torch.stack([points.amin(0), points.amax(0)])
    about = json.dumps({**info.about, "material": info.material})  # ASCII, one line
    return f"""#usda 1.0
(
    customLayerData = {{
        string generator = "{GENERATOR}"
        string xbind = {json.dumps(about)}
    }}
    defaultPrim = "Root"
    metersPerUnit = 1
    upAxis = "Y"
)

def Xform "Root" (
    kind = "component"
)
{{
    def Mesh "Surface" (
        prepend apiSchemas = ["MaterialBindingAPI"]
    )
    {{
        uniform bool doubleSided = 0
        float3[] extent = {_rows(extent)}
        int[] faceVertexCounts = [{", ".join(["3"] * len(unwrapped.faces))}]
        int[] faceVertexIndices = [{", ".join(map(str, unwrapped.faces.flatten().tolist()))}]
        rel material:binding = </Root/Look>
        normal3f[] normals = {_rows(normals)} (
            interpolation = "vertex"
        )
        uniform token orientation = "rightHanded"
        point3f[] points = {_rows(points)}
        texCoord2f[] primvars:st = {_rows(torch.from_numpy(upward(unwrapped.uv)))} (
            interpolation = "vertex"
        )
        uniform token subdivisionScheme = "none"
    }}

    {_look(info.material, has_map)}
}}
"""


def _look(material: Material, has_map: bool) -> str:
    metallic, roughness = "float inputs:metallic = 0", "float inputs:roughness = 1"
    if has_map:
        metallic = "float inputs:metallic.connect = </Root/Look/Map.outputs:b>"
        roughness = "float inputs:roughness.connect = </Root/Look/Map.outputs:g>"
    textures = _texture("Texture", _TEXTURE, "sRGB", "float3 outputs:rgb")
    if has_map:
        outputs = "float outputs:g\n            float outputs:b"
        textures += "\n\n        " + _texture("Map", _MAP, "raw", outputs)
    return f"""def Material "Look"
    {{
        token outputs:surface.connect = </Root/Look/Shader.outputs:surface>

        def Shader "Shader"
        {{
            uniform token info:id = "UsdPreviewSurface"
            {_SHADED[material]}
            {metallic}
            {roughness}
            token outputs:surface
        }}

        {textures}

        def Shader "Places"
        {{
            uniform token info:id = "UsdPrimvarReader_float2"
            string inputs:varname = "st"
            float2 outputs:result
        }}
    }}"""


def _texture(name: str, file: str, space: str, outputs: str) -> str:
    return f"""def Shader "{name}"
        {{
            uniform token info:id = "UsdUVTexture"
            asset inputs:file = @{file}@
            token inputs:sourceColorSpace = "{space}"
            float2 inputs:st.connect = </Root/Look/Places.outputs:result>
            token inputs:wrapS = "clamp"
            token inputs:wrapT = "clamp"
            {outputs}
        }}"""


def _rows(values: Tensor) -> str:
    """A list of tuples; nine digits hold every float32."""
    return (
        "[" + ", ".join(f"({', '.join(f'{x:.9g}' for x in row)})" for row in values.tolist()) + "]"
    )
