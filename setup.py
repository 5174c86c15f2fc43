"""Package `xbind`; the top-level folders are its sub-packages, never packages of their own."""

from setuptools import find_packages, setup

# `import kernels` is what diffusers and transformers use to probe for the Hub's kernel loader,
# so these folders are only ever importable as `xbind.<name>`.
NAMES = ("engine", "kernels", "export", "bench")
FOLDERS = {f"xbind.{name}": name for name in NAMES}

packages = find_packages(include=["xbind", "xbind.*"])
for package, folder in FOLDERS.items():
    packages += [package, *(f"{package}.{p}" for p in find_packages(folder))]

setup(
    name="xbind",
    version="0.1.0",
    description="A prompt of any modality to a textured 3D mesh",
    license="Apache-2.0",
    license_files=["LICENSE"],
    packages=packages,
    package_dir=FOLDERS,
    package_data={
        "xbind": [
            "py.typed",
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
        "onnx>=1.18",
        "onnxruntime>=1.22",
    ],
    extras_require={
        "openvino": ["openvino>=2025.4"],
        "rtx": ["tensorrt-rtx-cu12>=1.7"],
        "tensorrt": ["tensorrt>=11.0"],
        "judges": ["open_clip_torch>=3.0"],
        "diagnose": ["polygraphy>=0.53", "onnx-graphsurgeon>=0.6"],
        "video": ["av>=14.0"],
        "dev": [
            "av>=14.0",
            "beartype>=0.21",
            "kaldi-native-fbank>=1.22",
            "mypy>=2.0",
            "onnx-graphsurgeon>=0.6",
            "openvino>=2025.4",
            "polygraphy>=0.53",
            "pytest>=9.0",
            "ruff>=0.17",
            "tensorrt-rtx-cu12>=1.7; platform_system == 'Linux' and platform_machine == 'x86_64'",
            "triton>=3.4; platform_system == 'Linux'",
        ],
    },
    entry_points={
        "console_scripts": [
            "xbind = xbind.cli.main:main",
            "xbind-build-engines = xbind.cli.build_engines:main",
            "xbind-bench = xbind.cli.bench:main",
        ]
    },
)
