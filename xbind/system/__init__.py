"""The machine: device, memory, cache folder, compiled kernels, telemetry of libraries."""
