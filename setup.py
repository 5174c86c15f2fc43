"""Package `xbind`; the top-level folders are its sub-packages, never packages of their own."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent

# `import kernels` is what diffusers and transformers use to probe for the Hub's kernel loader,
# so these folders are only ever importable as `xbind.<name>`.
NAMES = ("engine", "kernels", "export", "bench")
FOLDERS = {f"xbind.{name}": name for name in NAMES}

packages = find_packages(include=["xbind", "xbind.*"])
for package, folder in FOLDERS.items():
    packages += [package, *(f"{package}.{p}" for p in find_packages(folder))]

# read, not imported: importing xbind needs its dependencies
source = (ROOT / "xbind/__init__.py").read_text(encoding="utf-8")
[version] = re.findall(r'^__version__ = "(.+)"$', source, flags=re.MULTILINE)

setup(
    name="xbind",
    version=version,
    description="A prompt of any modality to a textured 3D mesh",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The xbind maintainers",
    project_urls={"Paper": "https://arxiv.org/abs/2411.14715"},
    license="Apache-2.0",
    license_files=["LICENSE", "xbind/conditioning/lexicon/LICENSE-WordNet.txt"],
    keywords=[
        "3D generation", "text-to-3D", "image-to-3D", "audio-to-3D", "mesh", "NeRF", "DMTet",
        "score distillation", "diffusion models", "multimodal",
    ],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Environment :: GPU :: NVIDIA CUDA",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Multimedia :: Graphics :: 3D Modeling",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    packages=packages,
    package_dir=FOLDERS,
    package_data={
        "xbind": [
            "py.typed",
            "web/templates/*",
            "web/vendor/*",
            "web/server/*",
            "bundles/mini/**",
            "mini/prompts_*.txt",
            "mini/world/*.json",
            "conditioning/lexicon/*.json",
            "conditioning/lexicon/LICENSE-WordNet.txt",
        ]
    },
    python_requires=">=3.11",
    install_requires=[
        "torch>=2.6",
        "diffusers>=0.36",
        "ftfy>=6.3",
        "transformers>=5.0",
        "safetensors>=0.5",
        "numpy>=2.0",
        "numba>=0.61",
        "pillow>=12.0",
        "platformdirs>=4.3",
        "soundfile>=0.13",
        "soxr>=1.0",
        "scipy>=1.15",
        "trimesh>=4.6",
        "xatlas>=0.0.11",
        "tyro>=1.0",
        "rich>=14.0",
        "jaxtyping>=0.3",
        "jinja2>=3.1",
        "fast-simplification>=0.1.12",
        "onnx>=1.18",
        "onnxruntime>=1.22",
    ],
    extras_require={
        "openvino": ["openvino>=2025.4"],
        "rtx": ["tensorrt-rtx-cu12>=1.7"],
        "tensorrt": ["tensorrt>=11.0"],
        "judges": ["open_clip_torch>=3.0"],
        "diagnose": ["polygraphy>=0.53", "onnx-graphsurgeon>=0.6"],
        "tensorboard": ["tensorboard>=2.19"],
        "video": ["av>=14.0"],
        # 5 MB beside what xbind needs itself
        "serve": ["fastapi>=0.115", "uvicorn>=0.32", "python-multipart>=0.0.18"],
        # wheels for some versions of Python only; without it `make fuzz` changes files at random
        "fuzz": ["atheris>=3.0"],
        "docs": [
            "furo>=2025.9",
            "ipykernel>=6.29",
            "latex2mathml>=3.78",
            "myst-nb>=1.3",
            "sphinx>=8.2",
        ],
        "dev": [
            "av>=14.0",
            "beartype>=0.21",
            "fastapi>=0.115",
            "httpx2>=2.16",
            "kaldi-native-fbank>=1.22",
            "lib3mf>=2.3",
            "mypy>=2.0",
            "onnx-graphsurgeon>=0.6",
            "openvino>=2025.4",
            "plyfile>=1.1",
            "polygraphy>=0.53",
            "python-multipart>=0.0.18",
            "pytest>=9.0",
            "pytest-cov>=7.0",
            "pytest-xdist>=3.8",
            "ruff>=0.17",
            "tensorboard>=2.19",
            "tensorrt-rtx-cu12>=1.7; platform_system == 'Linux' and platform_machine == 'x86_64'",
            "triton>=3.2; platform_system == 'Linux'",
            "typos>=1.40",
            "usd-core>=25.5",
            "uvicorn>=0.32",
        ],
    },
    entry_points={
        "console_scripts": [
            "xbind = xbind.cli.entry:xbind",
            "xbind-build-engines = xbind.cli.entry:build_engines",
            "xbind-bench = xbind.cli.entry:bench",
        ]
    },
)  # fmt: skip
